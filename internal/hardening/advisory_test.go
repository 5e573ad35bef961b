package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// advisory is a published weakness of a library that sends mail, or is close to one that
// does. Either the same is tried on this package, by whatever way input takes here that is
// like the one there, or it says why there is no such way.
//
// The table below is the list of those that we know of. An identifier is as published; a
// weakness that has none, or that was only seen in a change log or in the code, is called
// by its library. Several identifiers are one weakness, or several of one kind. A test
// looks at the octets that leave, by a grammar of its own, or at what a strict server made
// of them; it sends what is right as well, lest it refuse everything.
type advisory struct {
	ids     []string
	what    string // went wrong there
	try     func(t *testing.T)
	because string // it cannot concern a client such as this; try is then nil
}

const (
	noProcess  = "no program is started: mail leaves by a connection alone"
	noToken    = "tokens come from a function of the caller's; the package speaks no HTTP"
	noSpool    = "no mail is written to files; a folder is not a way to send"
	noCallback = "there is no way to name code, or an object, in the data of a mail"
)

// The slow ones, of which several advisories are of one kind, run once.
var (
	linearAddresses = shared(linear(addressReaders, addressShapes))
	linearWords     = shared(linear(wordReaders, wordShapes))
)

// shared runs a test once, for all who call it.
func shared(try func(t *testing.T)) func(t *testing.T) {
	var once sync.Once
	failed := true // also if it ends by FailNow
	return func(t *testing.T) {
		once.Do(func() {
			try(t)
			failed = t.Failed()
		})
		if failed {
			t.Error("it failed, if not here, then for an advisory of the same kind")
		}
	}
}

// advisories are grouped by what went wrong, and each group is in the order of its libraries.
var advisories = []advisory{
	// Lines, fields and parameters that are injected.
	{[]string{"CVE-2015-9096"}, "Ruby net/smtp: CR LF in the address of MAIL or RCPT became commands", eachBreak(envelopePlaces), ""},
	{[]string{"CVE-2015-9097"}, "Ruby mail: the same by the addresses of a message", eachBreak(addressPlaces, envelopePlaces[2:5]), ""},
	{[]string{"cpython-87290", "bpo-43124"}, "Python smtplib: CR LF in any argument of a command, the name of EHLO among them", eachBreak(sessionPlaces, parameterPlaces, envelopePlaces), ""},
	{[]string{"CVE-2024-6923"}, "Python email: header values with a line end were written as they are", eachBreak(fieldPlaces, namePlaces, addressPlaces), ""},
	{[]string{"cpython-83254", "bpo-39073"}, "Python email: an Address took CR and LF", everyParser, ""},
	{[]string{"CVE-2026-1299"}, "Python email: what one generator refused, another wrote", everySerialiser, ""},
	{[]string{"CVE-2025-7962"}, "Angus Mail: CR LF in a mailbox in UTF-8 became commands", beyondASCII, ""},
	{[]string{"CVE-2026-32178"}, ".NET System.Net.Mail: lines in addresses and header fields", eachBreak(addressPlaces, namePlaces, fieldPlaces, envelopePlaces), ""},
	{[]string{"dotnet-runtime-131820"}, ".NET System.Net.Mail: CR LF in a MIME boundary", boundaries, ""},
	{[]string{"CVE-2026-30227", "GHSA-g7hc-96xr-gvvx"}, "MimeKit: CR LF within a quoted local part", quotedLocalParts, ""},
	{[]string{"CVE-2026-45067"}, "Symfony: CR LF in an Address became header fields and commands", everyShape, ""},
	{[]string{"CVE-2026-45070"}, "Symfony: parameter names were not held to be tokens", parameterNames, ""},
	{[]string{"CVE-2026-48019", "GHSA-5vg9-5847-vvmq"}, "Laravel: a check of addresses let CR LF pass, and nobody behind it checked again", unvalidated, ""},
	{[]string{"CVE-2015-8476"}, "PHPMailer: CR LF in addresses and in commands", eachBreak(envelopePlaces, addressPlaces, parameterPlaces, sessionPlaces), ""},
	{[]string{"CVE-2015-3154"}, "zend-mail: lines in header values and addresses", eachBreak(fieldPlaces, namePlaces, addressPlaces), ""},
	{[]string{"ZF2016-04"}, "zend-mail: arguments for sendmail in the sender", nil, noProcess},
	{[]string{"CVE-2021-23400"}, "Nodemailer: addresses given as objects were not cleaned", everyShape, ""},
	{[]string{"GHSA-c7w3-x93f-qmm8"}, "Nodemailer: a size that was a string became further commands", numbers, ""},
	{[]string{"GHSA-vvjj-xcjg-gr5g"}, "Nodemailer: the name of the client ended the line of EHLO", func(t *testing.T) { localNames(t); localNameByHelo(t) }, ""},
	{[]string{"nodemailer-list-comment"}, "Nodemailer: CR LF in the comment of a List header", eachBreak(listPlaces), ""},
	{[]string{"nodemailer-proxy-connect"}, "Nodemailer: CR LF in what was sent to a proxy by CONNECT", proxies, ""},
	{[]string{"CVE-2025-59937", "GHSA-wpwj-69cm-q9c5", "go-mail-497"}, "go-mail: a quoted local part was used without its quotes: another domain, or further parameters", oneMailbox, ""},
	{[]string{"CVE-2026-23829", "GO-2026-4333"}, "Mailpit: a check of addresses by a pattern looked at one line of several", everyControl, ""},
	{[]string{"CVE-2025-59419"}, "Netty: CR LF in the parameters of commands", encoders, ""},

	// Addresses that are read as others.
	{[]string{"CVE-2023-27043", "CVE-2019-16056"}, "Python email: parseaddr returned another address than the one that is there", ambiguous, ""},
	{[]string{"CVE-2025-1795"}, "Python email: folding encoded the comma between mailboxes, which made them one", foldedNames, ""},
	{[]string{"cpython-80222", "cpython-121284"}, "Python email: folding took away quotes, or decoded, and so made other mailboxes", func(t *testing.T) { foldedNames(t); refolded(t) }, ""},
	{[]string{"cpython-77710", "bpo-33529"}, "Python email: folding a header without blanks had no end", longFields("é", "日", "", "a", "=?", "ä "), ""},
	{[]string{"GHSA-mm7p-fcc7-pg87", "CVE-2025-13033"}, "Nodemailer: an address in quotes was taken for the one that the mail goes to", func(t *testing.T) { oneMailbox(t); ambiguous(t) }, ""},
	{[]string{"CVE-2025-14874", "GHSA-rcmh-qjqh-p98v"}, "Nodemailer: nested groups overflowed the stack", shared(deepNesting), ""},
	{[]string{"GHSA-9h6g-pr28-7cqp"}, "Nodemailer: looking for images in HTML took exponential time", longTexts("<img src=\"cid:", "&amp;", "<img src=\"data:image/png;base64,", "data:image/", "cid:a", "cid:%61&#x61;", "<", "data:", "cid:&", "cid:a.png"), ""},
	{[]string{"GHSA-2x7j-588g-ccc2"}, "Nodemailer: reading addresses took quadratic time", linearAddresses, ""},
	{[]string{"nodemailer-idn-allow-list"}, "Nodemailer: Punycode and comments led past a list of domains", oneSpelling, ""},
	{[]string{"CVE-2024-24784", "GO-2024-2609"}, "Go net/mail: comments in display names were mishandled", ambiguous, ""},
	{[]string{"CVE-2025-61725", "GO-2025-4006", "CVE-2026-42499", "GO-2026-4977", "CVE-2026-39820", "GO-2026-4986"}, "Go net/mail: reading addresses took quadratic time", linearAddresses, ""},
	{[]string{"CVE-2026-42504", "GO-2026-5038"}, "Go mime: decoding a header took quadratic time", linearWords, ""},
	{[]string{"CVE-2011-0739", "CVE-2012-2140"}, "Ruby mail: addresses reached a shell, by sendmail and Exim", nil, noProcess},
	{[]string{"GHSA-mvxr-6m87-mv2q"}, "Ruby mail: an encoded word was decoded into another address", decodedLate, ""},
	{[]string{"CVE-2026-50659"}, ".NET System.Net.Mail: a source route was read as another address", sourceRoutes, ""},
	{[]string{"GHSA-g57g-f23g-4646"}, "Nodemailer: a comment behind the domain of a quoted local part made a recipient that is none", ambiguous, ""},
	{[]string{"GHSA-v53p-9fqp-m79j", "GHSA-prgh-xp8r-p3m5"}, "Nodemailer: a long word, or addresses with comments between them, took quadratic time", shared(linear(addressReaders, []string{"x", "a@b(c)", "a@b(c)@b(c)", "a(b)", "@x", "x@"})), ""},

	// Arguments of other programs.
	{[]string{"CVE-2016-10033", "CVE-2016-10045", "CVE-2016-10074", "CVE-2017-15806"}, "PHPMailer, SwiftMailer, zetacomponents: the sender reached a command line", nil, noProcess},
	{[]string{"RUSTSEC-2020-0069", "CVE-2020-28247", "CVE-2020-7769", "CVE-2026-45068"}, "lettre, Nodemailer, Symfony: a recipient that begins with a hyphen became an option of sendmail", nil, noProcess},
	{[]string{"CVE-2019-18888"}, "Symfony: the name of a file reached a command line, to find its type", nil, noProcess},

	// TLS and credentials.
	{[]string{"CVE-2011-0411", "CVE-2026-41319", "nodemailer-1835", "libetpan-386", "aiosmtpd-380"}, "Postfix, MailKit, Nodemailer, libetpan, aiosmtpd: what came behind the reply to STARTTLS was read under TLS", injected, ""},
	{[]string{"lettre-starttls-buffer"}, "lettre: what was buffered at STARTTLS is kept", injected, ""},
	{[]string{"CVE-2016-0772"}, "Python smtplib: a refused STARTTLS was ignored", stripped, ""},
	{[]string{"RUSTSEC-2026-0141", "CVE-2026-46428"}, "lettre: by one library for TLS, the check of the host was the wrong way round", certificates, ""},
	{[]string{"CVE-2007-5770", "GO-2024-3016", "CVE-2023-38686"}, "Ruby net/smtp, beego, Sydent: the certificate, or its name, was not checked", certificates, ""},
	{[]string{"nodemailer-oauth2-tls"}, "Nodemailer: the certificate of the server of tokens was not checked", nil, noToken},
	{[]string{"CVE-2017-15042", "GO-2021-0178"}, "Go net/smtp: the password went in the clear where the server said so", inTheClear, ""},
	{[]string{"nodemailer-secure-socket"}, "Nodemailer: TLS from the start was not spoken over a socket of the caller's", suppliedConn, ""},
	{[]string{"emailjs-339"}, "emailjs: the password was in the text of an error", passwords, ""},

	// Content, files, and servers that want too much.
	{[]string{"RUSTSEC-2021-0069", "CVE-2021-38189"}, "lettre: a dot was not doubled where a buffer ended, so that the body became commands", dotStuffing, ""},
	{[]string{"CVE-2023-51764", "CVE-2023-51765", "CVE-2023-51766", "CVE-2023-51747"}, "Postfix, Sendmail, Exim, James: other line ends around a dot ended the data (SMTP smuggling)", smuggled, ""},
	{[]string{"angus-mail-209"}, "Angus Mail: dots were doubled in BDAT", chunks, ""},
	{[]string{"CVE-2017-5223", "GHSA-p6gq-j5cr-w38f", "nodemailer-json-transport", "nodemailer-resolve-content"}, "PHPMailer, Nodemailer: the content of a mail named files and URLs, which were read", filesOfStrangers, ""},
	{[]string{"CVE-2018-19296", "CVE-2021-3603"}, "PHPMailer: a path made objects, and an option named a function", nil, noCallback},
	{[]string{"CVE-2013-4389"}, "Action Mailer: the address was used as a format", verbatim, ""},
	{[]string{"CVE-2024-47889"}, "Action Mailer: wrapping a text took quadratic time", longTexts(" ", "\r\n", "a", "=", ".", "\t", "  \r\n", "* ", " *", "\r\n.", "é", ">", "\n \n"), ""},
	{[]string{"CVE-2012-2139"}, "Ruby mail: the recipient named the file that a mail was written to", nil, noSpool},
	{[]string{"CVE-2025-61724", "GO-2025-4015"}, "Go net/textproto: reading a reply without end took more and more time", endless, ""},
	{[]string{"CVE-2026-42507", "GO-2026-5039"}, "Go net/textproto: errors held what the server said as it came", escaped, ""},
	{[]string{"CVE-2026-45713", "GO-2026-5376"}, "Mailpit: a server for tests took mails without a limit", limitedServer, ""},
	{[]string{"reply-without-limit"}, "lettre, Angus Mail, MailKit: a reply may have any size", func(t *testing.T) { endless(t); challenged(t) }, ""},
}

// TestAdvisories tries each advisory, and counts.
func TestAdvisories(t *testing.T) {
	t.Parallel()
	tried, notApplicable := 0, 0
	var seen []string
	for _, a := range advisories {
		if (a.try == nil) == (a.because == "") || a.what == "" {
			t.Errorf("%v is either tried, or not for a reason", a.ids)
		}
		if a.try != nil {
			tried++
		}
		for _, id := range a.ids {
			if slices.Contains(seen, id) {
				t.Errorf("%s is there twice", id)
			}
			seen = append(seen, id)
			if a.try == nil {
				notApplicable++
				continue
			}
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				t.Attr("advisories", "1")
				a.try(t)
			})
		}
	}
	t.Attr("weaknesses", strconv.Itoa(tried))
	t.Attr("not-applicable", strconv.Itoa(notApplicable))
}

// TestReasons: where an advisory cannot concern the package since it has no such means,
// it has none: it starts no program, loads no code, and speaks no HTTP.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"../..", "../wire", "../format"} {
		pkg, err := build.ImportDir(folder, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range pkg.Imports {
			if slices.Contains([]string{"os/exec", "plugin", "net/rpc", "unsafe", "text/template", "html/template", "encoding/gob", "C"}, path) {
				t.Errorf("%s imports %s", pkg.Name, path)
			}
		}
		for _, name := range pkg.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && types.ExprString(s.X) == "http" && s.Sel.Name != "DetectContentType" {
					t.Errorf("%s uses http.%s", name, s.Sel.Name)
				}
				return true
			})
		}
	}
}

// quoted shows a value in a failure.
func quoted(s string) string { return fmt.Sprintf("%.100q", s) }
