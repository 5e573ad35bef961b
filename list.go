package smtp

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postrider/smtp/internal/format"
)

// List says what a mailing list or a newsletter offers its readers, as URLs with
// the preferred one first (RFC 2369); what is empty is not offered. Mail readers
// show a button to unsubscribe.
type List struct {
	ID   string // as in "news.example.com" (RFC 2919)
	Name string // shown beside the ID; may be empty

	// Unsubscribe has URLs such as "https://example.com/leave?t=8Zc1", with what
	// tells the subscriber, or "mailto:leave@example.com".
	Unsubscribe []string

	// OneClick says that a POST to the one https URL of Unsubscribe is enough (RFC
	// 8058), which large providers require of those who send much. It counts only
	// if a DKIM signature covers List-Unsubscribe and List-Unsubscribe-Post.
	OneClick bool

	Subscribe, Help, Owner, Archive []string

	Post []string // "NO": nobody may
}

// urls lists the fields of l that hold URLs.
func (l *List) urls() []listField {
	return []listField{
		{"Unsubscribe", &l.Unsubscribe}, {"Subscribe", &l.Subscribe}, {"Help", &l.Help},
		{"Post", &l.Post}, {"Owner", &l.Owner}, {"Archive", &l.Archive},
	}
}

type listField struct {
	name string
	urls *[]string
}

func (l List) clone() List {
	for _, field := range l.urls() {
		*field.urls = slices.Clone(*field.urls)
	}
	return l
}

// mailingList adds the fields of a mailing list.
func (f *fields) mailingList(l List) {
	switch {
	case l.ID != "":
		f.of("List.ID").take(f.charset.ListID(f.list, l.Name, l.ID))
	case l.Name != "":
		f.fail("List.Name", errors.New("is shown beside an ID, and there is none"))
	}
	for _, field := range l.urls() {
		f.listURLs(field)
	}
	if l.OneClick {
		f.oneClick(l.Unsubscribe)
	}
}

// listURLs adds a field of URLs, if there is any.
func (f *fields) listURLs(field listField) {
	urls := *field.urls
	if len(urls) == 0 {
		return
	}
	source := "List." + field.name
	var words []string
	for i, u := range urls {
		if !isURL(u) && (u != "NO" || field.name != "Post" || len(urls) > 1) { // RFC 2369, section 3.4.
			f.fail(fmt.Sprintf("%s[%d]", source, i), errors.New("is no URL, without brackets, such as https://example.com/list or mailto:list@example.com"))
		}
		if u != "NO" {
			u = "<" + u + ">"
		}
		if i < len(urls)-1 {
			u += ","
		}
		words = append(words, u)
	}
	f.of(source).take(format.Words(f.list, "List-"+field.name, words...))
}

// isURL tells whether s is an absolute URL that can stand in a header field.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != "" && !strings.HasPrefix(u.Scheme, "http")) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' })
}

// oneClick adds the field that makes a POST to the https URL unsubscribe.
func (f *fields) oneClick(urls []string) {
	var web []string
	for _, u := range urls {
		if u = strings.ToLower(u); strings.HasPrefix(u, "http") {
			web = append(web, u)
		}
	}
	if len(web) != 1 || !strings.HasPrefix(web[0], "https:") { // RFC 8058, section 3.1.
		f.fail("List.OneClick", fmt.Errorf("needs one https URL in Unsubscribe, and no other of http or https; there are %d", len(web)))
	}
	f.of("List.OneClick").take(format.Words(f.list, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
}
