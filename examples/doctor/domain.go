package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// checkMX tells whether answers and reports can come back to the domain.
func (d *doctor) checkMX(ctx context.Context, domain string) {
	list, err := found(d.resolver.LookupMX(ctx, absolute(domain)))
	isNull := func(mx *net.MX) bool { return mx.Host == "." }
	switch {
	case err != nil:
		d.fail("MX", err)
	case len(list) == 0:
		d.checkImplicitMX(ctx, domain)
	case len(list) > 1 && slices.ContainsFunc(list, isNull):
		d.fail("MX", &problem{"a null MX stands beside others", "remove the null MX, or all others (RFC 7505, section 3)"})
	case isNull(list[0]):
		d.fail("MX", &problem{"null MX: the domain takes no mail", "send from a domain that does: servers may refuse senders who cannot be answered (RFC 7505, section 4.2)"})
	default:
		for _, mx := range list {
			d.checkHost(ctx, mx)
		}
	}
}

// checkImplicitMX: without any MX, the domain is its own (RFC 5321, section 5.1).
func (d *doctor) checkImplicitMX(ctx context.Context, domain string) {
	addresses, err := found(d.resolver.LookupHost(ctx, absolute(domain)))
	switch {
	case err != nil:
		d.fail("MX", err)
	case len(addresses) == 0:
		d.fail("MX", &problem{"no MX, and no address", "add an MX record: nobody can answer, and no report comes back (RFC 5321, section 5.1)"})
	default:
		d.warn("MX", &problem{"no MX: mail goes to " + strings.Join(addresses, ", "), "add an MX record, even if that is the right host (RFC 5321, section 5.1)"})
	}
}

func (d *doctor) checkHost(ctx context.Context, mx *net.MX) {
	host := strings.TrimSuffix(mx.Host, ".")
	if net.ParseIP(host) != nil {
		d.fail("MX", &problem{host + " is an address", "name a host there (RFC 5321, section 5.1)"})
		return
	}
	addresses, err := found(d.resolver.LookupHost(ctx, absolute(host)))
	switch {
	case err != nil:
		d.fail("MX", err)
	case len(addresses) == 0:
		d.fail("MX", &problem{host + " has no address", "give it one, or remove the MX record (RFC 5321, section 5.1)"})
	default:
		d.ok("MX", "%d %s, %s", mx.Pref, host, strings.Join(addresses, ", "))
	}
}

// tags reads a list such as "v=DKIM1; k=rsa" (RFC 6376, section 3.2).
func tags(record string) map[string]string {
	list := map[string]string{}
	for tag := range strings.SplitSeq(record, ";") {
		if name, value, ok := strings.Cut(tag, "="); ok {
			list[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return list
}

// checkDKIM tells whether signatures by a selector can be verified.
func (d *doctor) checkDKIM(ctx context.Context, domain, selector string) {
	if selector == "" {
		d.none("DKIM", "not checked: name the selector by -selector")
		return
	}
	name := selector + "._domainkey." + domain
	records, err := found(d.resolver.LookupTXT(ctx, absolute(name)))
	switch {
	case err != nil:
		d.fail("DKIM", err)
	case len(records) == 0:
		d.fail("DKIM", &problem{"no record at " + name, "publish the key there, or check the selector (RFC 6376, section 3.6.2)"})
	case len(records) > 1:
		d.fail("DKIM", &problem{fmt.Sprintf("%d records at %s", len(records), name), "leave one: which of them counts is not defined (RFC 6376, section 3.6.2.2)"})
	default:
		d.checkKey(tags(records[0]))
	}
}

func (d *doctor) checkKey(record map[string]string) {
	if version, given := record["v"]; given && version != "DKIM1" {
		d.fail("DKIM", &problem{"the version is " + version, "let the record begin with v=DKIM1 (RFC 6376, section 3.6.1)"})
		return
	}
	if slices.Contains(strings.FieldsFunc(record["t"], func(c rune) bool { return c == ':' || c == ' ' }), "y") {
		d.warn("DKIM", &problem{"t=y: the domain only tests DKIM", "remove it once signatures are good: they may count for nothing until then (RFC 6376, section 3.6.1)"})
	}
	kind, bits, err := readKey(record)
	const bigger = "publish one of 2048 bits, under a new selector (RFC 8301, section 3.2)"
	switch {
	case err != nil:
		d.fail("DKIM", err)
	case kind == "RSA" && bits < 1024:
		d.fail("DKIM", &problem{fmt.Sprintf("RSA key of %d bits, which nobody accepts", bits), bigger})
	case kind == "RSA" && bits < 2048:
		d.warn("DKIM", &problem{fmt.Sprintf("RSA key of %d bits, which is weak", bits), bigger})
	default:
		d.ok("DKIM", "%s key of %d bits", kind, bits)
	}
}

// readKey tells what kind of key a record holds, and its size.
func readKey(record map[string]string) (kind string, bits int, err error) {
	text, given := record["p"]
	switch {
	case !given:
		return "", 0, &problem{"the record has no key", "add it as p= (RFC 6376, section 3.6.1)"}
	case text == "":
		return "", 0, &problem{"the key is revoked: p= is empty", "sign by another selector (RFC 6376, section 3.6.1)"}
	}
	damaged := &problem{"the key cannot be read", "publish it again: p= is its base64, and nothing else (RFC 6376, section 3.6.1)"}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return "", 0, damaged
	}
	switch k, given := record["k"]; {
	case k == "ed25519" && len(der) == ed25519.PublicKeySize: // RFC 8463, section 4.2.
		return "Ed25519", 256, nil
	case k == "rsa" || !given:
		return rsaKey(der, damaged)
	}
	return "", 0, damaged
}

func rsaKey(der []byte, damaged error) (kind string, bits int, err error) {
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := key.(*rsa.PublicKey); ok {
			return "RSA", key.N.BitLen(), nil
		}
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil { // what the text of RFC 6376 says, and few do
		return "RSA", key.N.BitLen(), nil
	}
	return "", 0, damaged
}

// checkDMARC tells what receivers are to do with mail that pretends to be of the domain.
func (d *doctor) checkDMARC(ctx context.Context, domain string) {
	record, of, err := d.findDMARC(ctx, domain)
	switch {
	case err != nil:
		d.fail("DMARC", err)
	case record == nil:
		d.warn("DMARC", &problem{"no record at _dmarc." + domain, "publish v=DMARC1; p=none with a rua= to begin with (RFC 7489, section 6.3)"})
	default:
		d.checkPolicy(record, domain, of)
	}
}

// findDMARC looks at the domain itself, and then at the one that was registered (RFC
// 7489, section 6.6.3).
func (d *doctor) findDMARC(ctx context.Context, domain string) (record map[string]string, of string, err error) {
	names := []string{domain}
	if registered, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil && registered != domain {
		names = append(names, registered)
	}
	for _, of := range names {
		records, err := found(d.resolver.LookupTXT(ctx, absolute("_dmarc."+of)))
		if err != nil {
			return nil, of, err
		}
		records = slices.DeleteFunc(slices.Clone(records), func(r string) bool { return tags(r)["v"] != "DMARC1" || !strings.HasPrefix(r, "v") })
		switch {
		case len(records) == 1:
			return tags(records[0]), of, nil
		case len(records) > 1:
			return nil, of, &problem{fmt.Sprintf("%d records at _dmarc.%s", len(records), of), "leave one: several count as none (RFC 7489, section 6.6.3)"}
		}
	}
	return nil, "", nil
}

func (d *doctor) checkPolicy(record map[string]string, domain, of string) {
	name := "p"
	if _, given := record["sp"]; given && of != domain {
		name = "sp"
	}
	policy := record[name]
	text := fmt.Sprintf("%s=%s at _dmarc.%s", name, policy, of)
	switch strings.ToLower(policy) {
	case "quarantine", "reject":
		d.ok("DMARC", "%s", text)
	case "none":
		d.warn("DMARC", &problem{text + ": mail that fails is let through", "go on to quarantine and reject when the reports are good (RFC 7489, section 6.3)"})
	default:
		d.fail("DMARC", &problem{fmt.Sprintf("%q is no policy", policy), "say p=none, p=quarantine or p=reject (RFC 7489, section 6.3)"})
	}
	if rua := record["rua"]; rua != "" {
		d.ok("DMARC reports", "%s", rua)
	} else {
		d.warn("DMARC reports", &problem{"nobody gets them: there is no rua=", "add rua=mailto: and an address of yours (RFC 7489, section 6.3)"})
	}
}
