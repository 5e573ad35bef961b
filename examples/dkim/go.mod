// A module of its own, so that go-msgauth is no dependency of the package.
module github.com/postrider/smtp/examples/dkim

go 1.25.0

require (
	github.com/emersion/go-msgauth v0.7.0
	github.com/postrider/smtp v0.0.0
)

require (
	github.com/emersion/go-message v0.18.2 // indirect
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/xdg-go/scram v1.4.0 // indirect
	github.com/xdg-go/stringprep v1.0.4 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)

replace github.com/postrider/smtp => ../..
