// Reads messages, one path a line, with mailparser, and writes what it sees as JSON.
const { simpleParser } = require('mailparser');
const crypto = require('crypto');
const fs = require('fs');

const addresses = (field) => (field ? [].concat(field).flatMap((f) => f.value) : [])
  .flatMap((a) => (a.group ? a.group : [a]))
  .map((a) => [a.name, a.address]);

(async () => {
  for (const path of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
    const m = await simpleParser(fs.readFileSync(path), { skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true, keepCidLinks: true });
    console.log(JSON.stringify({
      from: addresses(m.from), to: addresses(m.to), cc: addresses(m.cc), replyTo: addresses(m.replyTo),
      subject: m.subject || '', id: m.messageId || '', inReplyTo: m.inReplyTo || '', references: [].concat(m.references || []),
      text: m.text || '', html: m.html || '',
      files: m.attachments.map((a) => ({
        type: a.contentType, disposition: a.contentDisposition || '', name: a.filename || '', id: a.cid || '',
        hash: crypto.createHash('sha256').update(a.content).digest('hex'),
      })),
    }));
  }
})();
