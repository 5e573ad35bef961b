package readback

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"github.com/emersion/go-message"
)

// Standard reads a message with net/mail, mime and mime/multipart.
func Standard(raw []byte) (Content, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Content{}, err
	}
	c := Content{}
	if c.Header, err = readFields(m.Header.Get); err != nil {
		return c, err
	}
	return c, c.standard("", m.Header.Get, m.Body)
}

func readFields(get func(string) string) (map[string]string, error) {
	header := map[string]string{}
	for _, name := range shownFields {
		value, err := decodeField(name, get(name))
		if err != nil {
			return nil, err
		}
		if value != "" {
			header[name] = value
		}
	}
	return header, nil
}

func decodeField(name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	switch name {
	case "From", "Sender", "Reply-To", "To", "Cc", "Bcc":
		list, err := mail.ParseAddressList(value)
		var spelled []string
		for _, address := range list {
			spelled = append(spelled, address.String())
		}
		return strings.Join(spelled, ", "), err
	case "List-Unsubscribe":
		return strings.ReplaceAll(value, "\r\n", ""), nil
	}
	return new(mime.WordDecoder).DecodeHeader(value)
}

// standard reads a part, and those in it.
func (c *Content) standard(path string, get func(string) string, body io.Reader) error {
	mediaType, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil {
		return err
	}
	if subtype, ok := strings.CutPrefix(mediaType, "multipart/"); ok {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = c.standard(path+"/"+subtype, part.Header.Get, part)
			}
			if err != nil {
				return err
			}
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	decoded, err := io.ReadAll(body)
	l := Leaf{Path: path, Type: typeAnd(mediaType, params), ContentID: strings.Trim(get("Content-Id"), "<>"), Body: string(decoded)}
	var describedErr, disposedErr error
	l.Description, describedErr = decodeField("Content-Description", get("Content-Description"))
	if disposition := get("Content-Disposition"); disposition != "" {
		l.Disposition, params, disposedErr = mime.ParseMediaType(disposition)
		l.Name = params["filename"]
	}
	c.Leaves = append(c.Leaves, l)
	return errors.Join(err, describedErr, disposedErr)
}

// GoMessage reads a message with go-message.
func GoMessage(raw []byte) (Content, error) {
	entity, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		return Content{}, err
	}
	c := Content{}
	if c.Header, err = readFields(entity.Header.Get); err != nil {
		return c, err
	}
	var paths []string
	return c, entity.Walk(func(path []int, part *message.Entity, err error) error {
		if err != nil {
			return err
		}
		mediaType, params, err := part.Header.ContentType()
		if err != nil {
			return err
		}
		paths = append(paths[:len(path)], mediaType)
		if strings.HasPrefix(mediaType, "multipart/") {
			return nil
		}
		l := Leaf{Type: typeAnd(mediaType, params)}
		for _, above := range paths[:len(path)] {
			l.Path += "/" + strings.TrimPrefix(above, "multipart/")
		}
		err = l.read(part)
		c.Leaves = append(c.Leaves, l)
		return err
	})
}

func (l *Leaf) read(part *message.Entity) error {
	body, err := io.ReadAll(part.Body)
	l.ContentID, l.Body = strings.Trim(part.Header.Get("Content-Id"), "<>"), string(body)
	var describedErr, disposedErr error
	l.Description, describedErr = decodeField("Content-Description", part.Header.Get("Content-Description"))
	if part.Header.Has("Content-Disposition") {
		var params map[string]string
		l.Disposition, params, disposedErr = part.Header.ContentDisposition()
		l.Name = params["filename"]
	}
	return errors.Join(err, describedErr, disposedErr)
}
