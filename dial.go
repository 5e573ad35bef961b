package smtp

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// dialTCP connects to the first address of a host that answers.
func dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	host, port, err := net.SplitHostPort(addr)
	if err != nil || network != "tcp" {
		return dialer.DialContext(ctx, network, addr)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) < 2 {
		return dialer.DialContext(ctx, network, addr) // It says best what is wrong.
	}
	return race(ctx, interleave(ips), func(ctx context.Context, ip netip.Addr) (net.Conn, error) {
		return dialer.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
	})
}

// interleave takes turns between the families of addresses, and keeps the order of each
// (RFC 8305, section 4).
func interleave(ips []netip.Addr) []netip.Addr {
	var same, other, all []netip.Addr
	for _, ip := range ips {
		if ip.Unmap().Is4() == ips[0].Unmap().Is4() {
			same = append(same, ip)
		} else {
			other = append(other, ip)
		}
	}
	for i := range max(len(same), len(other)) {
		all = append(all, same[min(i, len(same)):min(i+1, len(same))]...)
		all = append(all, other[min(i, len(other)):min(i+1, len(other))]...)
	}
	return all
}

// attemptDelay is how long an address has for itself (RFC 8305, section 5).
const attemptDelay = 250 * time.Millisecond

// race tries addresses one after the other, the next as soon as one has failed or has
// not answered for a while, and returns the first connection. If there is none, the
// error is that of the first address.
func race(ctx context.Context, ips []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (won net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	attempts := make(chan dialled)
	started, running := 0, 0
	for won == nil && (started < len(ips) || running > 0) {
		var next <-chan time.Time
		if at := started; at < len(ips) {
			go func() {
				conn, err := dial(ctx, ips[at])
				attempts <- dialled{at, conn, err}
			}()
			started++
			running++
			next = time.After(attemptDelay)
		}
		select {
		case a := <-attempts:
			running--
			won = a.conn
			if a.at == 0 {
				err = a.err
			}
		case <-next:
		}
	}
	cancel()
	for ; running > 0; running-- { // The others end at once.
		if a := <-attempts; a.conn != nil {
			a.conn.Close()
		}
	}
	if won != nil {
		err = nil
	}
	return won, err
}

// dialled is what came of an address, by its index.
type dialled struct {
	at   int
	conn net.Conn
	err  error
}
