module github.com/postrider/smtp

go 1.25.0

require github.com/emersion/go-message v0.18.2
