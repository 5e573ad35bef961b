// Nodemailer's smtp-server, with a Maildir for each recipient.
const { SMTPServer } = require('smtp-server');
const fs = require('fs');

const host = '127.0.0.17';
const passwords = { 'alice@test.example': 'alice-pass', 'uni@test.example': 'pässwörd-日本' };
let number = 0;

const refusal = (code, text) => Object.assign(new Error(text), { responseCode: code });

function deliver(envelope, data) {
  for (const { address } of envelope.rcptTo) {
    if (/^broken/.test(address)) continue;
    const box = '/srv/mail/nodemailer/' + address.slice(0, address.lastIndexOf('@'));
    const name = String(++number);
    fs.writeFileSync(`${box}/tmp/${name}`, Buffer.concat([Buffer.from(`Return-Path: <${envelope.mailFrom.address || ''}>\r\n`), data]));
    fs.renameSync(`${box}/tmp/${name}`, `${box}/new/${name}`);
  }
}

const options = {
  name: 'nodemailer.test.example',
  key: fs.readFileSync('/etc/ssl/interop/server.key'),
  cert: fs.readFileSync('/etc/ssl/interop/server.pem'),
  authMethods: ['PLAIN', 'LOGIN', 'CRAM-MD5', 'XOAUTH2'],
  authOptional: true,
  allowInsecureAuth: true,
  size: 40 << 20,
  hideDSN: false,
  hideREQUIRETLS: false,
  hideENHANCEDSTATUSCODES: false,
  disableReverseLookup: true,
  onAuth(auth, session, done) {
    const password = passwords[auth.username];
    const known = auth.method === 'XOAUTH2' ? auth.accessToken === fs.readFileSync('/srv/token', 'utf8')
      : password !== undefined && (auth.method === 'CRAM-MD5' ? auth.validatePassword(password) : auth.password === password);
    if (known) return done(null, { user: auth.username });
    if (auth.method === 'XOAUTH2') return done(null, { data: { status: '401', schemes: 'bearer', scope: 'mail' } });
    done(new Error('Invalid username or password'));
  },
  onMailFrom({ address }, session, done) {
    done(/^badsender/.test(address) ? refusal(550, 'Sender rejected') : null);
  },
  onRcptTo({ address }, session, done) {
    if (/^nosuch/.test(address)) return done(refusal(550, 'No such user here'));
    if (/^full/.test(address)) return done(refusal(452, 'Mailbox full'));
    if (/^grey/.test(address)) return done(refusal(451, 'Greylisted, try again later'));
    done();
  },
  onData(stream, session, done) {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      if (stream.sizeExceeded) return done(refusal(552, 'The message is too big'));
      deliver(session.envelope, Buffer.concat(chunks));
      if (!session.transmissionType.startsWith('LMTP')) return done(null, 'taken');
      done(null, session.envelope.rcptTo.map(({ address }) => (/^broken/.test(address) ? refusal(451, 'The mailbox is broken') : 'taken')));
    });
  },
};

const serve = (more, port) => new SMTPServer({ ...options, ...more })
  .on('error', (problem) => console.error(problem.message)) // of a session: the others go on
  .listen(port, host);

serve({}, 25);
serve({ authOptional: false }, 587);
serve({ secure: true }, 465);
serve({ lmtp: true }, 24);
