package smtp_test

import (
	"fmt"
	"net/mail"
	"reflect"
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

// TestReplyMessage: a reply goes where the message asks, and into its thread.
func TestReplyMessage(t *testing.T) {
	t.Parallel()
	long := ""
	for i := range 100 {
		long += fmt.Sprintf("<%d@example.net>\r\n ", i)
	}
	bob := []smtp.Address{{Name: "Bob", Address: "bob@example.net"}}
	for header, want := range map[string]*smtp.Message{
		"From: Bob <bob@example.net>\r\nSubject: Hi\r\nMessage-ID: <1@a>\r\n": {
			To: bob, Subject: "Re: Hi", InReplyTo: []string{"1@a"}, References: []string{"1@a"},
		},
		"From: x@y\r\nReply-To: Bob <bob@example.net>, \"a, b\"@c\r\nSubject: RE: Hi\r\n": {
			To: append(bob, smtp.Address{Address: `"a, b"@c`}), Subject: "RE: Hi",
		},
		"From: bob@example.net\r\nReply-To: \r\nReply-To: g:;\r\nMessage-ID: <2@a> <3@a>\r\n": {
			To: []smtp.Address{{Address: "bob@example.net"}}, Subject: "Re:", InReplyTo: []string{"2@a"}, References: []string{"2@a"},
		},
		"From: bob@example.net\r\nMessage-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n": {
			To: []smtp.Address{{Address: "bob@example.net"}}, Subject: "Re:", InReplyTo: []string{"2@a"}, References: []string{"1@a", "2@a"},
		},
		"From: bob@example.net\r\nMessage-ID: <2@a>\r\nIn-Reply-To: <0@a> <1@a>\r\n": {
			To: []smtp.Address{{Address: "bob@example.net"}}, Subject: "Re:", InReplyTo: []string{"2@a"}, References: []string{"2@a"},
		},
		"From: =?x-none?q?B?= <bob@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0ABcc:_x?=\r\nMessage-ID: nonsense\r\nReferences: \"Bob\" <1@a> <b> <\xff@c> 2@d (x) <3@d>\r\n": {
			To: []smtp.Address{{Name: "\uFFFD", Address: "bob@example.net"}}, Subject: "Re: Grüße  Bcc: x", References: []string{"1@a", "b", "3@d"},
		},
		"From: =?windows-1252?q?J=F6rg?= <bob@example.net>\r\nSubject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\nMessage-ID: <@@a>\r\nReferences: <noatsign> (a) <\"a b\"@b>\r\n": {
			To: []smtp.Address{{Name: "Jörg", Address: "bob@example.net"}}, Subject: "Re: 日本", InReplyTo: []string{"@@a"}, References: []string{"noatsign", "@@a"},
		},
		"From: =?utf-8?q?B=0Ab?= <bob@example.net>\r\nSubject: \xff\r\n": {
			To: []smtp.Address{{Name: "B b", Address: "bob@example.net"}}, Subject: "Re: \uFFFD",
		},
	} {
		got, err := smtp.ReplyMessage(headerOf(t, header))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is answered by %+v, %v", header, got, err)
			continue
		}
		got.From.Address = "ann@example.com"
		if _, err := got.Prepare(); err != nil {
			t.Errorf("%q: %v", header, err)
		}
	}
	got, err := smtp.ReplyMessage(headerOf(t, "From: bob@example.net\r\nReferences: "+long+"\r\nMessage-ID: <"+strings.Repeat("x", 600)+"@a>\r\n"))
	if err != nil || len(got.References) != 50 || got.References[0] != "0@example.net" || got.References[1] != "51@example.net" || got.References[49] != "99@example.net" || got.InReplyTo != nil {
		t.Errorf("a long thread became %+v, %v", got, err)
	}
	for _, header := range []string{"Subject: x\r\n", "From: nobody:;\r\n", "From: bob\r\n", "Reply-To: bob\r\nFrom: bob@example.net\r\n", "From: a@b_c\r\n", "From: \"a\tb\"@c\r\n", "From: a@b/c\r\n"} {
		if got, err := smtp.ReplyMessage(headerOf(t, header)); err == nil || !strings.HasPrefix(err.Error(), "smtp: To: ") {
			t.Errorf("%q is answered by %+v, %v", header, got, err)
		}
	}
}

func headerOf(t *testing.T, header string) mail.Header {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(header + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}
