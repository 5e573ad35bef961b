package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// tokenURLs are where the providers' access tokens come from, by their documentation.
var tokenURLs = map[string]string{
	// The server is smtp.gmail.com, port 587, or 465 for implicit TLS:
	// https://developers.google.com/workspace/gmail/imap/imap-smtp
	// The scope to ask the user's consent for is https://mail.google.com/:
	// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
	// The URL: https://developers.google.com/identity/protocols/oauth2/web-server#offline
	"gmail": "https://oauth2.googleapis.com/token",

	// The server is smtp.office365.com, port 587; SMTP AUTH must be enabled for the mailbox:
	// https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
	// The scopes are https://outlook.office.com/SMTP.Send and offline_access:
	// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
	// The URL, in which the identifier of a tenant may stand for common:
	// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
	"office365": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}

// tokenSource turns a refresh token into access tokens (RFC 6749, section 6). A
// TokenSource of golang.org/x/oauth2 does so as well.
type tokenSource struct {
	url  string
	form url.Values

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newTokenSource(tokenURL, clientID, clientSecret, refreshToken string) *tokenSource {
	return &tokenSource{url: tokenURL, form: url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken},
		"client_id": {clientID}, "client_secret": {clientSecret},
	}}
}

// Token returns the access token, a new one if the last has less than a minute left.
func (s *tokenSource) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Until(s.expires) > time.Minute {
		return s.token, nil
	}
	return s.refresh(ctx)
}

func (s *tokenSource) refresh(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(s.form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int    `json:"expires_in"` // in seconds
		Error        string `json:"error"`
		Description  string `json:"error_description"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("the token server answers %s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the token server answers %s: %q %q", response.Status, answer.Error, answer.Description)
	}
	if answer.RefreshToken != "" { // It replaces the last one: Microsoft sends one each time. Keep it.
		s.form.Set("refresh_token", answer.RefreshToken)
	}
	s.token, s.expires = answer.AccessToken, time.Now().Add(time.Duration(answer.ExpiresIn)*time.Second)
	return s.token, nil
}
