package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkSPF tells whether the domain says which hosts send its mail (RFC 7208).
func (d *doctor) checkSPF(ctx context.Context, domain string) {
	record, err := findSPF(ctx, d.resolver, domain)
	if errors.Is(err, errNone) {
		err = &problem{"no record at " + domain, "publish one that names the hosts which send, and ends in -all (RFC 7208, section 3)"}
	}
	if err != nil {
		d.fail("SPF", err)
		return
	}
	d.ok("SPF", "%s", record)
	w := walk{resolver: d.resolver}
	end, err := w.follow(ctx, domain)
	if err != nil {
		d.fail("SPF terms", err)
		return
	}
	d.ok("SPF terms", "%d of at most %d ask the DNS", w.lookups, maxLookups)
	for _, term := range w.macros {
		d.none("SPF terms", "not followed: "+term+" depends on the mail")
	}
	d.checkEnd(end)
}

// checkEnd judges what becomes of mail from all other hosts.
func (d *doctor) checkEnd(end string) {
	const advice = "end it in -all, or in ~all while you look (RFC 7208, section 5.1)"
	switch end {
	case "-all":
		d.ok("SPF end", "-all: other hosts are refused")
	case "~all":
		d.ok("SPF end", "~all: other hosts are suspect")
	case "?all":
		d.warn("SPF end", &problem{"?all: of other hosts, nothing is said", advice})
	case "":
		d.warn("SPF end", &problem{"no all: of other hosts, nothing is said", advice})
	default:
		d.fail("SPF end", &problem{"+all: anybody may send in the name of the domain", advice})
	}
}

// errNone says that a domain has no record.
var errNone = errors.New("no record")

// findSPF returns the one record of a domain (RFC 7208, section 4.5).
func findSPF(ctx context.Context, r resolver, domain string) (string, error) {
	records, err := found(r.LookupTXT(ctx, absolute(domain)))
	if err != nil {
		return "", err
	}
	records = slices.DeleteFunc(slices.Clone(records), func(record string) bool {
		version, _, _ := strings.Cut(record, " ")
		return !strings.EqualFold(version, "v=spf1")
	})
	switch len(records) {
	case 0:
		return "", errNone
	case 1:
		return records[0], nil
	}
	return "", &problem{fmt.Sprintf("%d records at %s", len(records), domain), "make them one: with several, SPF fails for every mail (RFC 7208, section 4.5)"}
}

// maxLookups is how many terms may ask the DNS (RFC 7208, section 4.6.4).
const maxLookups = 10

// walk goes through a policy as a receiver does if nothing matches.
type walk struct {
	resolver resolver
	lookups  int
	path     []string // the domains on the way to this one
	macros   []string // terms whose domain is not known
}

// follow returns the term at the end of a domain's policy; empty: there is none.
func (w *walk) follow(ctx context.Context, domain string) (end string, err error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	path := append(slices.Clip(w.path), domain)
	if slices.Contains(w.path, domain) {
		return "", &problem{"a loop: " + strings.Join(path, " > "), "remove one of these includes (RFC 7208, section 4.6.4)"}
	}
	record, err := findSPF(ctx, w.resolver, domain)
	if errors.Is(err, errNone) {
		err = &problem{domain + " has no record, and is referred to", "remove that term: SPF fails for every mail that comes to it (RFC 7208, section 5.2)"}
	}
	if err != nil {
		return "", err
	}
	defer func(before []string) { w.path = before }(w.path)
	w.path = path
	redirect := ""
	for _, text := range strings.Fields(record)[1:] {
		t := parseTerm(text)
		switch t.name {
		case "all":
			return t.qualifier + "all", nil
		case "redirect=":
			redirect = t.value
		default:
			if err := w.term(ctx, t); err != nil {
				return "", err
			}
		}
	}
	if redirect == "" {
		return "", nil
	}
	return w.refer(ctx, term{text: "redirect=" + redirect, value: redirect})
}

// term counts a term, and follows it if it is an include.
func (w *walk) term(ctx context.Context, t term) error {
	switch {
	case t.name == "include":
		_, err := w.refer(ctx, t)
		return err
	case slices.Contains([]string{"a", "mx", "ptr", "exists"}, t.name):
		return w.lookUp(t)
	case t.name == "ip4", t.name == "ip6", strings.HasSuffix(t.name, "="): // Modifiers that are not known are ignored.
		return nil
	}
	return &problem{fmt.Sprintf("%q is no term", t.text), "correct it: SPF fails for every mail that comes to it (RFC 7208, section 4.6)"}
}

// refer follows a term to another domain.
func (w *walk) refer(ctx context.Context, t term) (end string, err error) {
	if err := w.lookUp(t); err != nil {
		return "", err
	}
	if strings.Contains(t.value, "%") { // RFC 7208, section 7.
		w.macros = append(w.macros, t.text)
		return "", nil
	}
	return w.follow(ctx, t.value)
}

func (w *walk) lookUp(t term) error {
	if w.lookups++; w.lookups <= maxLookups {
		return nil
	}
	return &problem{
		fmt.Sprintf("more than %d terms ask the DNS, from %s at %s on", maxLookups, t.text, strings.Join(w.path, " > ")),
		"name addresses by ip4 and ip6, and drop includes that are not needed (RFC 7208, section 4.6.4)",
	}
}

// term is a mechanism, or a modifier, whose name then ends in an equals sign.
type term struct{ text, qualifier, name, value string }

func parseTerm(text string) term {
	i := strings.IndexAny(text, ":/=")
	if i >= 0 && text[i] == '=' {
		return term{text: text, name: strings.ToLower(text[:i+1]), value: text[i+1:]}
	}
	t := term{text: text, qualifier: "+", name: text}
	if i >= 0 {
		t.name = text[:i]
		t.value = strings.TrimPrefix(text[i:], ":")
	}
	if t.name != "" && strings.Contains("+-~?", t.name[:1]) {
		t.qualifier, t.name = t.name[:1], t.name[1:]
	}
	t.name = strings.ToLower(t.name)
	return t
}
