package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseURL returns a Mailer for smtp://user:password@host:port, with TLSRequired and on
// port 587 if none is given, smtps:// with TLSImplicit and 465, lmtp:// with 24, and
// unix:/path. Reserved characters are percent-encoded. Options follow a question mark, as
// in ?tls=none&max-conns=10: see [Mailer.String]. No error shows the password.
func ParseURL(s string) (*Mailer, error) {
	if strings.TrimSpace(s) != s {
		return nil, &FieldError{"URL", errors.New("has white space around it")}
	}
	u, err := url.Parse(s)
	if err != nil { // The error of url.Parse would quote all of s.
		return nil, &FieldError{"URL", errors.New("is malformed; does it begin with smtp://, is the port a number, and are reserved characters in the password percent-encoded?")}
	}
	m := &Mailer{}
	if err := m.parseAddr(u); err != nil {
		return nil, &FieldError{"URL", err}
	}
	switch password, ok := u.User.Password(); {
	case ok:
		m.Auth = Password(u.User.Username(), password)
	case u.User.Username() != "":
		return nil, &FieldError{"URL", errors.New("has a user, and no password")}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" {
		return nil, &FieldError{"URL", errors.New("has malformed options, or a fragment behind them")}
	}
	options := m.options()
	if u.Scheme == "smtps" {
		delete(options, "tls") // It says so itself.
	}
	for name, values := range query {
		option, ok := options[name]
		if !ok || len(values) != 1 { // It may be a part of the password.
			return nil, &FieldError{"URL", fmt.Errorf("has an option that there is not, or has one twice; there are %s; are reserved characters in the password percent-encoded?", strings.Join(slices.Sorted(maps.Keys(options)), ", "))}
		}
		if err := setOption(option, values[0]); err != nil {
			return nil, &FieldError{"URL", fmt.Errorf("cannot have that value as its option %s, which is %s", name, kindOf(option))}
		}
	}
	return m, nil
}

// parseAddr reads all that comes before the options, but the credentials.
func (m *Mailer) parseAddr(u *url.URL) error {
	if u.Scheme == "unix" {
		m.Addr = "unix:" + u.Path
		if u.Path == "" || u.Host != "" || u.Opaque != "" {
			return errors.New("wants an absolute path, as in unix:/run/smtp")
		}
		return nil
	}
	ports := map[string]string{"smtp": "587", "smtps": "465", "lmtp": "24"}
	port, ok := ports[u.Scheme]
	switch {
	case !ok:
		return errors.New("begins with none of smtp://, smtps://, lmtp:// and unix:/")
	case u.Hostname() == "" || strings.Contains(u.Hostname(), "@") || u.Path != "" && u.Path != "/":
		return errors.New("wants a host, and no path")
	case strings.ContainsAny(u.Hostname(), "&=,;"):
		return errors.New("has a host that is none; do the options come behind a question mark?")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return errors.New("has two ports, or an IPv6 address without brackets")
	}
	if n, err := strconv.Atoi(cmp.Or(u.Port(), port)); err != nil || n < 1 || n > 65535 {
		return errors.New("has no port between 1 and 65535")
	}
	m.Addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	m.Options.LMTP = u.Scheme == "lmtp"
	if u.Scheme == "smtps" {
		m.TLS = TLSImplicit
	}
	return nil
}

// String returns the URL of the Mailer without its credentials, with those options that
// a URL can have: tls, lmtp, chunking, plaintext-auth, local-name, server-name, disable,
// max-recipients, max-conns, max-idle, max-messages, idle-timeout and max-age.
func (m *Mailer) String() string {
	// Where somebody has set Addr to a URL, its credentials come before the last @.
	u := url.URL{Scheme: "smtp", Host: m.Addr[strings.LastIndexByte(m.Addr, '@')+1:]}
	if path, ok := strings.CutPrefix(m.Addr, "unix:"); ok {
		u = url.URL{Scheme: "unix", Path: path}
	}
	query := url.Values{}
	for name, option := range m.options() {
		if value := spellOption(option); value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// options are the settings that a URL can have, by the names that they have there.
func (m *Mailer) options() map[string]any {
	return map[string]any{
		"tls":            &m.TLS,
		"lmtp":           &m.Options.LMTP,
		"chunking":       &m.Options.Chunking,
		"plaintext-auth": &m.Options.PlaintextAuth,
		"local-name":     &m.Options.LocalName,
		"server-name":    &m.Options.ServerName,
		"disable":        &m.Options.Disable,
		"max-recipients": &m.Options.MaxRecipients,
		"max-conns":      &m.MaxConns,
		"max-idle":       &m.MaxIdle,
		"max-messages":   &m.MaxMessages,
		"idle-timeout":   &m.IdleTimeout,
		"max-age":        &m.MaxAge,
	}
}

var policies = map[string]TLSPolicy{
	"required": TLSRequired, "implicit": TLSImplicit, "opportunistic": TLSOpportunistic, "none": TLSNone,
}

// setOption reads the value of a setting.
func setOption(setting any, value string) (err error) {
	switch s := setting.(type) {
	case *TLSPolicy:
		var ok bool
		if *s, ok = policies[value]; !ok {
			return strconv.ErrSyntax
		}
	case *bool:
		*s, err = strconv.ParseBool(value)
	case *int:
		*s, err = strconv.Atoi(value)
	case *time.Duration:
		*s, err = time.ParseDuration(value)
	case *string:
		*s = value
	case *[]string:
		*s = strings.Split(value, ",")
	}
	return err
}

// kindOf says what values an option has.
func kindOf(setting any) string {
	switch setting.(type) {
	case *TLSPolicy:
		return strings.Join(slices.Sorted(maps.Keys(policies)), ", ")
	case *bool:
		return "true or false"
	case *int:
		return "a number"
	}
	return "a time, as in 10s or 5m"
}

// spellOption spells the value of a setting; empty: it is zero.
func spellOption(setting any) string {
	switch s := setting.(type) {
	case *TLSPolicy:
		for name, policy := range policies {
			if policy == *s && policy != 0 {
				return name
			}
		}
		return ""
	case *[]string:
		return strings.Join(*s, ",")
	}
	v := reflect.ValueOf(setting).Elem()
	if v.IsZero() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}
