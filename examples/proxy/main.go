// Proxy sends a mail through an HTTP proxy, by CONNECT, or through a SOCKS5 proxy. Either
// is a matter of Mailer.DialContext alone: TLS goes through to the server as ever.
//
//	go run ./examples/proxy
//
// starts a server and an HTTP proxy of its own. To use real ones:
//
//	go run ./examples/proxy -url smtp://user:pass@host -from ann@example.com -to bob@example.net -socks5 localhost:1080
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/net/proxy"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

// dialer is what Mailer.DialContext is.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("proxy", flag.ExitOnError)
	server := flags.String("url", "", "the server; empty: one of our own")
	from := flags.String("from", "", "the sender; without -url it may be empty")
	to := flags.String("to", "", "the recipient, likewise")
	socks := flags.String("socks5", "", "host and port of a SOCKS5 proxy")
	connect := flags.String("connect", "", "host and port of an HTTP proxy; empty, as -socks5: one of our own")
	flags.Parse(args)
	if *server != "" && (*from == "" || *to == "") {
		return errors.New("with -url, say who sends it and to whom: -from ann@example.com -to bob@example.net")
	}

	mailer := &smtp.Mailer{}
	if *server != "" {
		var err error
		if mailer, err = smtp.ParseURL(*server); err != nil {
			return err
		}
	} else {
		own := &smtptest.Server{}
		if err := own.Start(); err != nil {
			return err
		}
		defer own.Close()
		mailer.Addr, mailer.TLSConfig = own.Addr, own.TLSConfig
	}
	defer mailer.Close()
	if *socks == "" && *connect == "" {
		own, err := startProxy(out)
		if err != nil {
			return err
		}
		defer own.Close()
		*connect = own.Addr().String()
	}
	mailer.DialContext = byConnect(*connect)
	if *socks != "" {
		dial, err := bySOCKS5(*socks)
		if err != nil {
			return err
		}
		mailer.DialContext = dial
	}
	_, err := mailer.Send(ctx, &smtp.Message{
		From:    smtp.Address{Address: cmp.Or(*from, "ann@example.com")},
		To:      []smtp.Address{{Address: cmp.Or(*to, "bob@example.net")}},
		Subject: "Through a proxy",
		Text:    "It came by a detour.",
	})
	if err == nil {
		fmt.Fprintln(out, "sent")
	}
	return err
}

// bySOCKS5 dials through a SOCKS5 proxy (RFC 1928), which also looks the names up.
func bySOCKS5(addr string) (dialer, error) {
	d, err := proxy.SOCKS5("tcp", addr, nil, new(net.Dialer)) // Or with &proxy.Auth{User: …, Password: …}.
	if err != nil {
		return nil, err
	}
	return d.(proxy.ContextDialer).DialContext, nil
}

// byConnect dials through an HTTP proxy (RFC 9110, section 9.3.6).
func byConnect(addr string) dialer {
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
		// A proxy that wants to know who asks: request.Header.Set("Proxy-Authorization", …)
		r := bufio.NewReader(conn)
		err = request.Write(conn)
		if err == nil {
			var response *http.Response
			if response, err = http.ReadResponse(r, request); err == nil && response.StatusCode != http.StatusOK {
				err = errors.New("the proxy said " + response.Status)
			}
		}
		if err != nil {
			conn.Close()
			return nil, errors.Join(err, context.Cause(ctx))
		}
		return &bufferedConn{conn, r}, nil
	}
}

// bufferedConn reads first what came behind the answer of the proxy: the greeting of
// the server may be there already.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// startProxy starts an HTTP proxy on loopback, so that the example needs none.
func startProxy(out io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(out, "%s to a mail server\n", r.Method)
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(there, here)
		io.Copy(here, there)
	}))
	return listener, nil
}
