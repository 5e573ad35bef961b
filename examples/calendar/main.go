// Calendar sends an invitation that readers show with buttons to accept and to decline,
// and then its cancellation, which takes the event out of their calendars again.
//
//	go run ./examples/calendar
package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		noon := time.Now().AddDate(0, 0, 7).UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
		lunch := event{
			UID:   fmt.Sprintf("lunch-%d@example.com", noon.Unix()), // Yours is the key of the event in your database.
			Start: noon, End: noon.Add(time.Hour),
			Summary: "Lunch; soup, or salad", Location: "Main Street 1",
			Organizer: kit.From, Attendees: []smtp.Address{kit.To},
		}
		for _, mail := range []func() (*smtp.Message, error){lunch.invite, lunch.cancel} {
			message, err := mail()
			if err != nil {
				return err
			}
			if _, err := kit.Mailer.Send(ctx, message); err != nil {
				return err
			}
			fmt.Printf("sent:\n\n%s\n", message.Calendar)
		}
		return nil
	})
}
