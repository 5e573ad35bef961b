"""Reads messages, one path a line, with Python's email package, and writes what it sees as JSON."""
import email, email.policy, hashlib, json, sys

ADDRESSES = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"]
OTHERS = ["Date", "Subject", "Message-ID", "In-Reply-To", "References", "Importance", "X-Priority",
          "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post",
          "List-Subscribe", "List-Help", "List-Owner", "List-Archive", "Organization", "X-Campaign", "X-Grund", "X-Field-39"]


def text(value):
    """Python keeps UTF-8 that stands in a header as it is in the form of surrogates."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def leaves(part):
    if part.get_content_maintype() == "multipart":
        for child in part.iter_parts():
            yield from leaves(child)
        return
    if part.get_content_type() == "message/rfc822":
        body = part.get_payload(0).as_bytes(policy=email.policy.SMTP)
    else:
        body = part.get_payload(decode=True)
    yield {
        "type": part.get_content_type(), "charset": part.get_content_charset() or "", "method": part.get_param("method") or "",
        "disposition": part.get_content_disposition() or "", "name": part.get_filename() or "" if part.get_content_disposition() else "",
        "id": (part["Content-ID"] or "").strip("<>"), "description": text(part["Content-Description"] or ""),
        "hash": hashlib.sha256(body).hexdigest(),
    }


for path in sys.stdin.read().split("\n"):
    if not path:
        continue
    with open(path, "rb") as file:
        message = email.message_from_bytes(file.read(), policy=email.policy.default)
    mailboxes, header = {}, {}
    for name in ADDRESSES:
        if message[name] is not None:
            mailboxes[name] = [[text(a.display_name), text(a.addr_spec)] for a in message[name].addresses]
    for name in OTHERS:
        if message[name] is not None:
            header[name] = text(message[name])
    defects = [repr(d) for part in message.walk() for d in part.defects + [d for v in part.values() for d in getattr(v, "defects", [])]]
    print(json.dumps({"mailboxes": mailboxes, "header": header, "leaves": list(leaves(message)), "defects": defects}))
