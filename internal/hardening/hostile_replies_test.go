package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// hostileKind is what a client must make of a behaviour.
type hostileKind int

const (
	harmless hostileKind = iota // all goes well
	fatal                       // an error, and the end of the session
	either                      // only what must hold always
)

// hostileBehaviour is what a server does in place of an honest reply. It tells
// whether what was asked for is done all the same.
type hostileBehaviour struct {
	name string
	kind func(step string) hostileKind
	act  func(s *hostileSession, honest string) (done bool)

	// The replies are not as many as what they answer, so that a client that reads one
	// for each cannot know to which it belongs.
	miscounts bool
}

// hostileWait is the time-out of RFC 5321, section 4.5.3.2, at a step.
func hostileWait(step string) time.Duration {
	switch step {
	case "DATA":
		return 2 * time.Minute
	case "content", "BDAT":
		return 3 * time.Minute
	case "end", "second end":
		return 10 * time.Minute
	}
	return 5 * time.Minute
}

// always is a kind that does not depend on the step, but where nothing was asked,
// no answer is harmless, and a challenge is to be understood.
func always(kind hostileKind) func(string) hostileKind {
	return func(step string) hostileKind {
		if kind == harmless && (step == "content" || step == "AUTH" || step == "challenge") {
			return either
		}
		return kind
	}
}

// within is the kind of what takes so long, and is harmless then.
func within(delay func(step string) time.Duration) func(string) hostileKind {
	return func(step string) hostileKind {
		switch {
		case step == "content": // While it says nothing, it does not read either.
			return either
		case delay(step) >= hostileWait(step):
			return fatal
		}
		return harmless
	}
}

// says makes a behaviour of what is said in place of the honest reply.
func hostileSays(name string, kind hostileKind, words func(code, honest string) string) hostileBehaviour {
	return hostileBehaviour{name: name, kind: always(kind), act: func(s *hostileSession, honest string) bool {
		honest = hostileDue(honest)
		s.say(words(honest[:3], honest))
		return true
	}}
}

// hostileDue is the reply that is due or, in the middle of a content, one that is not.
func hostileDue(honest string) string {
	if honest == "" {
		return "250 2.0.0 nobody has asked for this"
	}
	return honest
}

// hostileBehaviours are all, or those that can be hostile in many ways and, of what
// differs in words only, each fifth, another one at each turn.
func hostileBehaviours(all bool, turn int) []hostileBehaviour {
	list := slices.Concat(hostileTalk(), hostilePaces(), hostileEnds(), hostileEchoes())
	for i, b := range slices.Concat(hostileCodes(), hostileTexts(), hostileRefusals()) {
		if all || i%5 == turn%5 {
			list = append(list, b)
		}
	}
	return list
}

// hostileTalk is more than is due.
func hostileTalk() []hostileBehaviour {
	return []hostileBehaviour{
		hostileEndless("a line without end", func(code string) (string, string) { return code + "-", strings.Repeat("x", 4096) }),
		hostileEndless("continuation lines without end", func(code string) (string, string) { return "", strings.Repeat(code+"-more of it\r\n", 300) }),
		hostileEndless("empty continuation lines without end", func(code string) (string, string) { return "", strings.Repeat(code+"-\r\n", 700) }),
		hostileEndless("line ends without end", func(string) (string, string) { return "", strings.Repeat("\r\n", 2000) }),
		hostileLong("a line of 1 MiB", 1, func(code string) (string, string) { return code + " ", strings.Repeat("x", 1<<20) + "\r\n" }),
		hostileLong("20 lines of 1 MiB", 20, func(code string) (string, string) { return "", code + "-" + strings.Repeat("x", 1<<20) + "\r\n" }),
		hostileLong("1,000,000 lines", 1000, func(code string) (string, string) { return "", strings.Repeat(code+"-\r\n", 1000) }),
		hostileLong("2,000 lines of 60 octets", 2000, func(code string) (string, string) { return "", code + "-" + strings.Repeat("x", 56) + "\r\n" }),
		hostileSays("100 lines", harmless, func(code, honest string) string {
			return strings.Replace(honest, code+" ", code+"-", 1) + strings.Repeat("\r\n"+code+"-X-MORE", 99) + "\r\n" + code + " HELP\r\n"
		}),
		hostileSays("lines of several codes", fatal, func(code, _ string) string { return code + "-one\r\n" + code[:2] + "9-other\r\n" + code + " one\r\n" }),
		hostileSays("a last line of another class", fatal, func(code, _ string) string { return code + "-one\r\n550 another\r\n" }),
		hostileMore("two replies", func(_, honest string) string { return honest + "\r\n250 2.0.0 and once more\r\n" }),
		hostileMore("two replies by bare LF", func(_, honest string) string { return honest + "\n250 2.0.0 and once more\n" }),
		hostileMore("a reply and a refusal", func(_, honest string) string { return honest + "\r\n550 5.0.0 but no\r\n" }),
		hostileMore("a reply and 354", func(_, honest string) string { return honest + "\r\n354 go on\r\n" }),
		hostileMore("20 replies", func(_, honest string) string { return strings.Repeat(honest+"\r\n", 20) }),
		hostileMore("a reply and half of another", func(_, honest string) string { return honest + "\r\n250 2.0" }),
		{name: "a reply to a command that was never sent", kind: always(either), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest) + "\r\n")
			s.running.Go(func() { // The client may not listen now.
				time.Sleep(time.Second)
				s.conn.Write([]byte("250 2.0.0 to what nobody asked\r\n"))
			})
			return true
		}, miscounts: true},
	}
}

// hostileMore says more than one reply.
func hostileMore(name string, words func(code, honest string) string) hostileBehaviour {
	b := hostileSays(name, either, words)
	b.miscounts = true
	return b
}

// hostileEndless says a piece for as long as anybody listens.
func hostileEndless(name string, words func(code string) (beginning, piece string)) hostileBehaviour {
	return hostileLong(name, 1<<40, words)
}

// hostileLong says a piece so many times, and then what is due.
func hostileLong(name string, times int, words func(code string) (beginning, piece string)) hostileBehaviour {
	return hostileBehaviour{name: name, kind: always(fatal), act: func(s *hostileSession, honest string) bool {
		honest = hostileDue(honest)
		beginning, piece := words(honest[:3])
		s.say(beginning)
		for n := 0; n < times && s.say(piece); n++ {
		}
		s.say(honest + "\r\n")
		return true
	}}
}

// hostilePaces are the honest reply, in other ways of writing it, and at other times.
func hostilePaces() []hostileBehaviour {
	before := func(step string) time.Duration { return hostileWait(step) - time.Second }
	after := func(step string) time.Duration { return hostileWait(step) + time.Second }
	return []hostileBehaviour{
		hostileSplit("an octet per write", 0),
		hostileSplit("an octet per second", time.Second),
		hostileSplit("an octet per minute", time.Minute),
		hostileLate("after 4 minutes", func(string) time.Duration { return 4 * time.Minute }),
		hostileLate("just before the time-out", before),
		hostileLate("just after the time-out", after),
		hostileSays("a bare LF at the end", harmless, func(_, honest string) string { return honest + "\n" }),
		hostileSays("the code alone", either, func(code, _ string) string { return code + "\r\n" }),
	}
}

func hostileSplit(name string, pause time.Duration) hostileBehaviour {
	kind := within(func(string) time.Duration { return 30 * pause })
	return hostileBehaviour{name: name, kind: kind, act: func(s *hostileSession, honest string) bool {
		for _, octet := range []byte(hostileDue(honest) + "\r\n") {
			time.Sleep(pause)
			if !s.say(string(octet)) {
				break
			}
		}
		return true
	}}
}

func hostileLate(name string, delay func(step string) time.Duration) hostileBehaviour {
	return hostileBehaviour{name: name, kind: within(delay), act: func(s *hostileSession, honest string) bool {
		time.Sleep(delay(s.at.name))
		if honest != "" {
			s.say(honest + "\r\n")
		}
		return true
	}}
}

// hostileCodes are replies that are none, or not to what was asked.
func hostileCodes() (list []hostileBehaviour) {
	for _, code := range []string{
		"000", "099", "100", "150", "199", "600", "999", "2a0", "2 0", "25", "2", "2500", "-250", "+250", " 250", "0250",
		"250\t", "250_", "250.", "", "ok", "\x00250", "２５０", "\xb250", "\ufeff250", "HTTP/1.1 200", "* OK", "+OK", "\x16\x03\x01",
	} {
		list = append(list, hostileSays(fmt.Sprintf("the code %q", code), fatal, func(_, _ string) string { return code + " well\r\n" }))
	}
	other := hostileSays("354 for 250, and 250 for 354", fatal, func(code, _ string) string {
		if code == "354" || code == "334" {
			return "250 2.0.0 well\r\n"
		}
		return "354 go ahead\r\n"
	})
	other.kind = func(step string) hostileKind {
		if step == "AUTH" || step == "challenge" || step == "password" { // Where 2yz and 3yz may both be.
			return either
		}
		return fatal
	}
	return append(list, other, hostileSays("334", either, func(_, _ string) string { return "334 AAAA\r\n" }))
}

// hostileTexts are replies whose text is made for terminals, logs and parsers.
func hostileTexts() (list []hostileBehaviour) {
	for _, text := range []string{
		"\x00", "\x1b[2J\x1b]0;owned\x07", "\b\b\b", "a\rb", "\rMAIL FROM:<eve@example.com>", "\xff\xfe\xc0\x80", "\x9b31m",
		"\u202egnp.exe", "\u2066\u2069", "\u200e\u200f", "\u0085", "\u2028", "\ufeff", "\x7f", "%s%n%x", `"\n"`, "\U000e0041",
	} {
		name := fmt.Sprintf("the text %q", text)
		list = append(list,
			hostileSays(name, harmless, func(_, honest string) string { return honest + " " + text + "\r\n" }),
			hostileRefusal(name+" in a refusal", "550 5.7.1 "+text+" no"),
			hostileSays(name+" in garbage", fatal, func(_, _ string) string { return text + "no\r\n" }))
	}
	return list
}

func hostileRefusal(name, words string) hostileBehaviour {
	return hostileBehaviour{name: name, kind: always(either), act: func(s *hostileSession, _ string) bool {
		s.say(words + "\r\n")
		return false
	}}
}

func hostileRefusals() (list []hostileBehaviour) {
	for _, words := range []string{
		"421 4.3.2 closing", "450 4.2.1 later", "452 4.5.3 no room", "500 5.5.1 what?", "502 5.5.1 not here", "503 5.5.1 not now",
		"504 5.5.4 not that", "530 5.7.0 no", "535 5.7.8 wrong", "550 5.1.1 nobody", "552 5.3.4 too big", "554 no", "555 5.5.4 what?",
		"599 9.9.9 no", "400", "550-5.1.1 no\r\n550-\r\n550 2.1.1 no",
	} {
		list = append(list, hostileRefusal(fmt.Sprintf("the refusal %q", words), words))
	}
	return append(list, hostileBehaviour{name: "421 and no end", kind: always(either), act: func(s *hostileSession, _ string) bool {
		s.say("421 4.3.2 closing\r\n")
		s.stay()
		return false
	}})
}

// hostileEchoes repeat what was said to them, which may be a password.
func hostileEchoes() (list []hostileBehaviour) {
	for _, words := range []string{"500 5.5.1 what is %s", "535-5.7.8 not\r\n535 5.7.8 %s", "421 4.7.0 %s?", "%s", "999 %s"} {
		list = append(list, hostileBehaviour{name: fmt.Sprintf("the echo %q", words), kind: always(either), act: func(s *hostileSession, _ string) bool {
			s.say(fmt.Sprintf(words, s.last) + "\r\n")
			return false
		}})
	}
	return list
}

// hostileEnds are silence, and the end of the connection.
func hostileEnds() []hostileBehaviour {
	silence := within(hostileWait) // too long
	return []hostileBehaviour{
		{name: "silence", kind: silence, act: func(*hostileSession, string) bool { return true }, miscounts: true},
		{name: "silence for ever", kind: always(fatal), act: func(s *hostileSession, _ string) bool { s.stay(); return true }},
		{name: "half a line, and silence", kind: always(fatal), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest)[:6])
			s.stay()
			return true
		}},
		{name: "close", kind: always(fatal), act: func(s *hostileSession, _ string) bool { s.close(); return true }},
		{name: "half a line, and close", kind: always(fatal), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest)[:6])
			s.close()
			return true
		}},
		{name: "half a reply, and close", kind: always(fatal), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest)[:3] + "-half\r\n")
			s.close()
			return true
		}},
		{name: "a reply without its end, and close", kind: always(fatal), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest))
			s.close()
			return true
		}},
		{name: "a reply, and never reads again", kind: always(fatal), act: func(s *hostileSession, honest string) bool {
			s.say(hostileDue(honest) + "\r\n")
			s.stay()
			return true
		}},
		{name: "never reads again", kind: always(either), act: func(s *hostileSession, honest string) bool {
			if honest != "" {
				s.say(honest + "\r\n")
			}
			s.stay()
			return true
		}},
		{name: "reads an octet per minute", kind: always(either), act: func(s *hostileSession, honest string) bool {
			if honest != "" {
				s.say(honest + "\r\n")
			}
			s.sip()
			return true
		}},
	}
}

func (s *hostileSession) close() {
	s.raw.Close()
	s.gone = true
}

// sip reads an octet per minute, of which it makes nothing.
func (s *hostileSession) sip() {
	for octet := make([]byte, 1); ; time.Sleep(time.Minute) {
		if _, err := s.raw.Read(octet); err != nil {
			s.gone = true
			return
		}
	}
}
