"""aiosmtpd, with a Maildir for each recipient."""
import asyncio, itertools, os, ssl
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST, MAIL = "127.0.0.16", "/srv/mail/aiosmtpd/"
PASSWORDS = {"alice@test.example": "alice-pass", "uni@test.example": "pässwörd-日本"}
numbers = itertools.count(1)


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and PASSWORDS.get(data.login.decode()) == data.password.decode()
    return AuthResult(success=known, handled=known)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("badsender"):
            return "550 5.1.8 Sender rejected"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nosuch"):
            return "550 5.1.1 No such user here"
        if address.startswith("full"):
            return "452 4.2.2 Mailbox full"
        if address.startswith("grey"):
            return "451 4.7.1 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            box, name = MAIL + address.rpartition("@")[0], str(next(numbers))
            with open(f"{box}/tmp/{name}", "wb") as file:
                file.write(f"Return-Path: <{envelope.mail_from or ''}>\r\n".encode())
                file.write(envelope.original_content)
            os.rename(f"{box}/tmp/{name}", f"{box}/new/{name}")
        return "250 2.0.0 taken"


async def main():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain("/etc/ssl/interop/server.pem", "/etc/ssl/interop/server.key")
    common = dict(enable_SMTPUTF8=True, decode_data=False, hostname="aiosmtpd.test.example", data_size_limit=40 << 20, authenticator=authenticate, auth_require_tls=False)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(Handler(), tls_context=tls, **common), HOST, 25)
    await loop.create_server(lambda: SMTP(Handler(), tls_context=tls, auth_required=True, **common), HOST, 587)
    await loop.create_server(lambda: SMTP(Handler(), **common), HOST, 465, ssl=tls)
    await asyncio.Event().wait()


asyncio.run(main())
