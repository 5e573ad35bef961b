module github.com/postrider/smtp

go 1.25.0

require (
	github.com/emersion/go-message v0.18.2
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6
	github.com/xdg-go/scram v1.4.0
	golang.org/x/net v0.58.0
	golang.org/x/text v0.41.0
)

require github.com/xdg-go/stringprep v1.0.4 // indirect
