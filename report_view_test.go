package smtp_test

import (
	"cmp"
	"errors"
	"net/mail"
	"net/netip"
	"time"

	"github.com/postrider/smtp"
)

// reportView is a report as the files of testdata/report have it, in JSON.
type reportView struct {
	Error           string           `json:"error,omitempty"`
	Kind            string           `json:"kind,omitempty"`
	EnvelopeID      string           `json:"envelopeID,omitempty"`
	MessageID       string           `json:"messageID,omitempty"`
	ReportingMTA    string           `json:"reportingMTA,omitempty"`
	ReceivedFromMTA string           `json:"receivedFromMTA,omitempty"`
	Gateway         string           `json:"gateway,omitempty"`
	ArrivalDate     string           `json:"arrivalDate,omitempty"`
	Fields          mail.Header      `json:"fields,omitempty"`
	Recipients      []recipientView  `json:"recipients,omitempty"`
	Disposition     *dispositionView `json:"disposition,omitempty"`
	Feedback        *feedbackView    `json:"feedback,omitempty"`
	Returned        mail.Header      `json:"returned,omitempty"`
}

type recipientView struct {
	Verdict     string          `json:"verdict,omitempty"`
	Temporary   bool            `json:"temporary,omitempty"`
	Final       string          `json:"final,omitempty"`
	Original    string          `json:"original,omitempty"`
	Status      string          `json:"status,omitempty"`
	RemoteMTA   string          `json:"remoteMTA,omitempty"`
	Diagnostic  *diagnosticView `json:"diagnostic,omitempty"`
	LastAttempt string          `json:"lastAttempt,omitempty"`
	RetryUntil  string          `json:"retryUntil,omitempty"`
	FinalLogID  string          `json:"finalLogID,omitempty"`
	Fields      mail.Header     `json:"fields,omitempty"`
}

type diagnosticView struct {
	Type   string `json:"type,omitempty"`
	Code   int    `json:"code,omitempty"`
	Status string `json:"status,omitempty"`
	Text   string `json:"text,omitempty"`
}

type dispositionView struct {
	Type      string   `json:"type,omitempty"`
	Action    string   `json:"action,omitempty"`
	Sending   string   `json:"sending,omitempty"`
	Modifiers []string `json:"modifiers,omitempty"`
}

type feedbackView struct {
	Type      string `json:"type,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	SourceIP  string `json:"sourceIP,omitempty"`
	MailFrom  string `json:"mailFrom,omitempty"`
	Incidents int    `json:"incidents,omitempty"`
}

// viewOf shows what ParseReport returned.
func viewOf(r *smtp.Report, err error) reportView {
	if errors.Is(err, smtp.ErrNotReport) {
		return reportView{Error: "not a report"}
	}
	if err != nil {
		return reportView{Error: err.Error()}
	}
	v := reportView{
		Kind: r.Kind.String(), EnvelopeID: r.EnvelopeID, MessageID: r.MessageID,
		ReportingMTA: nameView(r.ReportingMTA), ReceivedFromMTA: nameView(r.ReceivedFromMTA), Gateway: nameView(r.Gateway),
		ArrivalDate: dateView(r.ArrivalDate), Fields: r.Fields, Returned: r.Returned,
	}
	for _, recipient := range r.Recipients {
		v.Recipients = append(v.Recipients, viewOfRecipient(recipient))
	}
	if d := r.Disposition; d != nil {
		v.Disposition = &dispositionView{d.Type, d.ActionMode, d.SendingMode, d.Modifiers}
	}
	if f := r.Feedback; f != nil {
		v.Feedback = &feedbackView{f.Type, f.UserAgent, "", f.MailFrom, f.Incidents}
		if f.SourceIP != (netip.Addr{}) {
			v.Feedback.SourceIP = f.SourceIP.String()
		}
	}
	return v
}

func viewOfRecipient(r smtp.RecipientReport) recipientView {
	v := recipientView{
		Temporary: r.Temporary(), Final: nameView(r.FinalRecipient), Original: nameView(r.OriginalRecipient),
		Status: statusView(r.Status), RemoteMTA: nameView(r.RemoteMTA), LastAttempt: dateView(r.LastAttempt),
		RetryUntil: dateView(r.WillRetryUntil), FinalLogID: r.FinalLogID, Fields: r.Fields,
	}
	if r.Verdict != 0 {
		v.Verdict = r.Verdict.String()
	}
	if d := (diagnosticView{r.Diagnostic.Type, r.Diagnostic.Code, statusView(r.Diagnostic.Status), r.Diagnostic.Text}); cmp.Or(d) != (diagnosticView{}) {
		v.Diagnostic = &d
	}
	return v
}

func nameView(n smtp.TypedName) string {
	if n.Name == "" {
		return ""
	}
	return n.Type + ";" + n.Name
}

func statusView(s smtp.EnhancedStatus) string {
	if s == (smtp.EnhancedStatus{}) {
		return ""
	}
	return s.String()
}

func dateView(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
