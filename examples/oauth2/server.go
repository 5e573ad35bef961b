package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/smtptest"
)

const accessToken = "the-access-token"

// wantsTokens makes the mail server offer what Gmail and Microsoft 365 offer.
func wantsTokens(server *smtptest.Server) {
	server.Mechanisms = []string{"XOAUTH2", "OAUTHBEARER"}
	if from, err := smtp.ParseAddress(flag.Lookup("from").Value.String()); err == nil {
		server.Users = map[string]string{from.Address: accessToken}
	}
}

// startTokenServer starts a server on loopback that gives anybody the access token.
func startTokenServer() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the token server is asked for", r.FormValue("grant_type"))
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3599}`, accessToken)
	}))
	return listener, nil
}
