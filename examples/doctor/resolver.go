package main

import (
	"context"
	"errors"
	"net"
	"strings"
)

// resolver is what the checks ask of the DNS; a [net.Resolver] is one.
type resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// zone is a resolver that knows all its answers beforehand.
type zone struct {
	mx        map[string][]*net.MX
	txt, host map[string][]string
	fails     map[string]error // by name, whatever is asked
}

func (z *zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return answer(z, z.mx, name)
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	return answer(z, z.txt, name)
}

func (z *zone) LookupHost(_ context.Context, host string) ([]string, error) {
	return answer(z, z.host, host)
}

func answer[T any](z *zone, records map[string][]T, name string) ([]T, error) {
	name = strings.TrimSuffix(name, ".")
	if err := z.fails[name]; err != nil {
		return nil, err
	}
	if len(records[name]) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records[name], nil
}

// found takes "there is none" for an answer like any other.
func found[T any](records []T, err error) ([]T, error) {
	var lookup *net.DNSError
	if errors.As(err, &lookup) && lookup.IsNotFound {
		return nil, nil
	}
	return records, err
}

// absolute keeps a resolver from trying a name below the domains of this host.
func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }
