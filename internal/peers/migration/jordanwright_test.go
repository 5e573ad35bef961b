package migration

import (
	"net/smtp"
	"os"
	"time"

	"github.com/jordan-wright/email"
)

func jordanWrightFile(dir string) error {
	e := email.NewEmail()
	e.From = "Ann <ann@example.com>"
	e.To = []string{"bob@example.net"}
	e.Cc = []string{"carol@example.net"}
	e.Subject = "Figures"
	e.Text = []byte("See the attachment.")
	e.HTML = []byte("<p>See the attachment.</p>")
	if _, err := e.AttachFile(dir + "/q3.pdf"); err != nil {
		return err
	}
	err := e.Send("smtp.example.com:587", smtp.PlainAuth("", "ann@example.com", password, "smtp.example.com"))
	return err
}

func jordanWrightReader(e *email.Email, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = e.Attach(file, "q3.csv", "text/csv")

	return err
}

func jordanWrightPool(e *email.Email, auth smtp.Auth) error {
	pool, err := email.NewPool("smtp.example.com:587", 4, auth)
	if err != nil {
		return err
	}
	defer pool.Close()
	err = pool.Send(e, 10*time.Second) // to wait for a session, from any goroutine

	return err
}
