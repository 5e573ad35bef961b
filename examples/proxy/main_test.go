package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// output may be written by several goroutines.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func TestConnect(t *testing.T) {
	t.Parallel()
	var out output
	if err := run(t.Context(), nil, &out); err != nil || out.String() != "CONNECT to a mail server\nsent\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestSOCKS5(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = serveSOCKS5(conn)
		}
		served <- err
	}()
	var out output
	if err := run(t.Context(), []string{"-socks5", listener.Addr().String()}, &out); err != nil || out.String() != "sent\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// serveSOCKS5 serves one client that asks for an IPv4 address (RFC 1928).
func serveSOCKS5(conn net.Conn) error {
	defer conn.Close()
	hello := make([]byte, 3)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	conn.Write([]byte{5, 0})
	request := make([]byte, 10)
	if _, err := io.ReadFull(conn, request); err != nil {
		return err
	}
	there, err := net.Dial("tcp", fmt.Sprintf("%v:%d", net.IP(request[4:8]), binary.BigEndian.Uint16(request[8:])))
	if err != nil {
		return err
	}
	defer there.Close()
	conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go io.Copy(there, conn)
	io.Copy(conn, there) // Until one of them goes, in whatever way.
	return nil
}

// TestRefusals: what the proxy says, or the end of the context, is the error.
func TestRefusals(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	go http.Serve(listener, http.NotFoundHandler())
	err := run(t.Context(), []string{"-connect", listener.Addr().String()}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "the proxy said 404 Not Found") {
		t.Error(err)
	}
	silent := listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := byConnect(silent.Addr().String())(ctx, "tcp", "mx.example.net:25"); err == nil {
		t.Error("a silent proxy")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
