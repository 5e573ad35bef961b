package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
)

// peer is a package that sends mail, used in the way that its documentation recommends.
type peer struct {
	name   string
	module string // empty: the standard library
	use    string // how it is used here
	file   string // from where a file comes, as far as its API goes
	slurps bool   // it holds files in memory

	open  func(server) (session, error)
	build func(*letter, io.Writer) error // nil: it is done as by another peer
	ways  []way                          // to send, of which it is asked how they behave
}

// session is one that a peer keeps. It may be opened only when the first mail is sent.
type session interface {
	// send builds and sends letters; of several, in the best way that the peer has.
	send(letters ...*letter) error
	close() error
}

// server is where mail is sent to.
type server struct {
	addr string
	tls  *tls.Config // nil: in the clear, and without AUTH
}

const user, password = "ann@example.com", "pencil"

func (s server) host() string {
	host, _, _ := net.SplitHostPort(s.addr)
	return host
}

func (s server) port() int {
	_, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port)
	return n
}

var ctx = context.Background()

// postrider is what the others are compared to.
var postrider, postriderBDAT = newPostrider("Postrider", false), newPostrider("Postrider, BDAT", true)

// goMailBare is go-mail with the options that spare it round trips.
var goMailBare = newGoMail("go-mail, bare", true)

// others are the peers, each at its best as it is documented.
var others = []*peer{netSMTP, newGoMail("go-mail", false), goSMTP, gomailV2, jordanWright}

// Who does what: some ways to send differ from others only on the wire.
var (
	builders = append([]*peer{postrider}, others...)
	everyone = append([]*peer{postrider, postriderBDAT}, others...)
	waiting  = append(everyone[:len(everyone):len(everyone)], goMailBare)
)

// eachOf calls send for one letter after the other.
func eachOf(letters []*letter, send func(*letter) error) error {
	for _, l := range letters {
		if err := send(l); err != nil {
			return err
		}
	}
	return nil
}
