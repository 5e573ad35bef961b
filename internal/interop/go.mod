// A module of its own, so that the servers that it brings are no dependency of the package.
module github.com/postrider/smtp/internal/interop

go 1.25.0

replace github.com/postrider/smtp => ../..

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6
	github.com/emersion/go-smtp v0.25.1
	github.com/postrider/smtp v0.0.0-00010101000000-000000000000
)

require (
	github.com/emersion/go-message v0.18.2 // indirect
	github.com/xdg-go/scram v1.4.0 // indirect
	github.com/xdg-go/stringprep v1.0.4 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/text v0.41.0 // indirect
)
