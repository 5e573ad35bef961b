package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/postrider/smtp/smtptest"
)

// witness is a strict server, and hears what its clients say. It is at 127.0.0.2, since
// some packages trust the network more if a server is at 127.0.0.1.
type witness struct {
	*smtptest.Server
	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	said     bytes.Buffer
}

// watch starts a server. Without a word of TLS or AUTH, all packages can use it.
func watch(configure func(*smtptest.Server)) (*witness, error) {
	w := &witness{Server: &smtptest.Server{NoTLS: true, Mechanisms: []string{}}}
	if configure != nil {
		configure(w.Server)
	}
	var err error
	if w.listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
		return nil, err
	}
	w.serving.Go(w.accept)
	return w, nil
}

func (w *witness) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := w.Server.DialContext(context.Background(), "", "")
		if err != nil {
			client.Close()
			return
		}
		w.serving.Go(func() {
			io.Copy(io.MultiWriter(w, server), client)
			server.Close()
		})
		w.serving.Go(func() {
			io.Copy(client, server)
			client.Close()
		})
	}
}

// Write implements io.Writer: it is what a client says.
func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(p)
}

// heard returns all that was said.
func (w *witness) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// heardPassword tells whether the password was said, as it is or in base64.
func (w *witness) heardPassword() bool {
	for _, word := range strings.Fields(w.heard()) {
		plain, _ := base64.StdEncoding.DecodeString(word)
		if strings.Contains(word+" "+string(plain), password) {
			return true
		}
	}
	return false
}

func (w *witness) address() server { return server{addr: w.listener.Addr().String()} }

// close ends all sessions.
func (w *witness) close() {
	w.listener.Close()
	w.Server.Close()
	w.serving.Wait()
}

// send delivers a parcel by way of a server, and returns what the caller was told. The
// server is closed, which ends a call that hangs: what it received and heard can still be read.
func (w *witness) send(d delivery, to account, p *parcel) error {
	defer time.AfterFunc(10*time.Second, w.close).Stop()
	defer w.close()
	to.server = w.address()
	return d(ctx, to, p)
}
