package migration

import (
	"errors"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jordan-wright/email"
	"github.com/wneessen/go-mail"
	"gopkg.in/gomail.v2"

	"github.com/postrider/smtp/smtptest"
)

// What the page says of other packages is tried here, so that it is taken back when a new
// version of one does better. Each sends a text, and the file, if there is one, to all.
var others = map[string]func(addr string, to []string, file io.ReadSeeker) error{
	"net/smtp":      sendByNetSMTP,
	"gomail":        sendByGomail,
	"go-mail":       sendByGoMail,
	"jordan-wright": sendByJordanWright,
}

// sendByNetSMTP ends the session by QUIT whatever happens, as one does.
func sendByNetSMTP(addr string, to []string, file io.ReadSeeker) error {
	if file == nil {
		return smtp.SendMail(addr, nil, "ann@example.com", to, []byte("Subject: Hi\r\n\r\nHello.\r\n"))
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Quit()
	if err := errors.Join(c.Mail("ann@example.com"), c.Rcpt(to[0])); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.MultiReader(strings.NewReader("Subject: Hi\r\n\r\nHello.\r\n"), file))
	return err
}

func sendByGomail(addr string, to []string, file io.ReadSeeker) error {
	host, port := hostPort(addr)
	return gomail.NewDialer(host, port, "user", "pencil").DialAndSend(gomailOf(to, file))
}

func gomailOf(to []string, file io.ReadSeeker) *gomail.Message {
	m := gomail.NewMessage()
	m.SetHeader("From", "ann@example.com")
	m.SetHeader("To", to...)
	m.SetBody("text/plain", "Hello.")
	if file != nil {
		m.Attach("file", gomail.SetCopyFunc(func(w io.Writer) error {
			_, err := io.Copy(w, file)
			return err
		}))
	}
	return m
}

func sendByGoMail(addr string, to []string, file io.ReadSeeker) error {
	host, port := hostPort(addr)
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("localhost"))
	if err != nil {
		return err
	}
	m := mail.NewMsg()
	if err := errors.Join(m.From("ann@example.com"), m.To(to...)); err != nil {
		return err
	}
	m.SetBodyString(mail.TypeTextPlain, "Hello.")
	if file != nil {
		m.AttachReadSeeker("file", file)
	}
	return client.DialAndSend(m)
}

func sendByJordanWright(addr string, to []string, file io.ReadSeeker) error {
	e := &email.Email{From: "ann@example.com", To: to, Text: []byte("Hello.")}
	if file != nil {
		if _, err := e.Attach(file, "file", "text/csv"); err != nil {
			return err
		}
	}
	return e.Send(addr, nil)
}

func hostPort(addr string) (string, int) {
	host, digits, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(digits)
	return host, port
}

// brokenFile fails in the middle.
type brokenFile struct{ io.Reader }

func newBrokenFile() brokenFile {
	return brokenFile{io.MultiReader(strings.NewReader("half of it"), iotest.ErrReader(errors.New("the disk is broken")))}
}

// Seek implements io.Seeker, for go-mail, which goes back to where the file begins.
func (brokenFile) Seek(int64, int) (int64, error) { return 0, nil }

// claim is what goes wrong, who delivers the mail all the same, and who returns no error.
type claim struct {
	what            string
	on              func(smtptest.Step) *smtptest.Fault
	broken          bool // the file
	delivered, fine []string
}

var all = []string{"net/smtp", "gomail", "go-mail", "jordan-wright"}

// TestClaims: who delivers what, and says what, where something goes wrong.
func TestClaims(t *testing.T) {
	t.Parallel()
	for _, c := range []claim{
		{what: "one of two is refused", on: refuseNobody},
		{what: "half a file", broken: true, delivered: []string{"net/smtp", "gomail", "go-mail"}},
		{what: "lost at the end", on: dropAt("END"), delivered: all},
		{what: "lost behind the end", on: dropAt("RSET", "QUIT"), delivered: all, fine: []string{"gomail"}},
	} {
		for name := range others {
			t.Run(c.what+"/"+name, func(t *testing.T) {
				t.Parallel()
				c.try(t, name)
			})
		}
	}
}

func (c claim) try(t *testing.T, name string) {
	server := smtptest.NewServer(t, func(s *smtptest.Server) { s.NoTLS, s.On, s.Mechanisms = true, c.on, []string{} })
	var file io.ReadSeeker
	if c.broken {
		file = newBrokenFile()
	}
	err := others[name](server.Addr, []string{"bob@example.net", "nobody@example.net"}, file)
	if (err == nil) != slices.Contains(c.fine, name) {
		t.Errorf("error: %v", err)
	}
	if got := len(server.Messages()); (got == 1) != slices.Contains(c.delivered, name) {
		t.Errorf("%d mails arrived", got)
	}
	var e *mail.SendError
	if name == "go-mail" && (!errors.As(err, &e) || e.IsTemp() != (c.what == "one of two is refused")) {
		t.Errorf("temporary, or not: %v", err)
	}
}

func refuseNobody(step smtptest.Step) *smtptest.Fault {
	if step.Command == "RCPT" && step.Address == "nobody@example.net" {
		return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 450, Text: "Not now"}}
	}
	return nil
}

func dropAt(commands ...string) func(smtptest.Step) *smtptest.Fault {
	return func(step smtptest.Step) *smtptest.Fault {
		if slices.Contains(commands, step.Command) {
			return &smtptest.Fault{Drop: true}
		}
		return nil
	}
}

// TestGomailClaims: the password in the clear, no Message-ID, and no RSET.
func TestGomailClaims(t *testing.T) {
	t.Parallel()
	server := smtptest.NewServer(t, func(s *smtptest.Server) {
		s.NoTLS, s.Mechanisms = true, []string{"LOGIN"}
		s.On = func(step smtptest.Step) *smtptest.Fault {
			if step.Command == "RCPT" && step.Message == 2 {
				return &smtptest.Fault{Refusal: &smtptest.Refusal{Code: 450, Text: "Not now"}}
			}
			return nil
		}
	})
	host, port := hostPort(server.Addr)
	s, err := gomail.NewDialer(host, port, "user", "pencil").Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var errs [3]error
	for i := range errs {
		errs[i] = gomail.Send(s, gomailOf([]string{"bob@example.net"}, nil))
	}
	if errs[0] != nil || errs[1] == nil || errs[2] == nil || !strings.Contains(errs[2].Error(), "503") {
		t.Errorf("errors: %v", errs)
	}
	if got := server.Messages(); len(got) != 1 || got[0].Username != "user" || got[0].Header.Get("Message-ID") != "" {
		t.Errorf("arrived: %+v", got)
	}
}
