package smtp_test

import (
	"testing"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/internal/readback"
)

// parsers are those that are not ours.
var parsers = map[string]func([]byte) (readback.Content, error){"net/mail": readback.Standard, "go-message": readback.GoMessage}

// asked is what a message says that a reader should see.
func asked(t *testing.T, m *smtp.Message) readback.Content {
	t.Helper()
	return ok(t)(readback.Asked(m))
}

// readStandard is what net/mail and its kin see.
func readStandard(t *testing.T, raw []byte) readback.Content {
	t.Helper()
	return ok(t)(readback.Standard(raw))
}

func ok(t *testing.T) func(readback.Content, error) readback.Content {
	return func(c readback.Content, err error) readback.Content {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}
