// Bulk sends each of many readers a mail of his own, over several sessions at once, no
// faster than a limit and with a progress bar, and sums up what became of them.
//
//	go run ./examples/bulk
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postrider/smtp"
	"github.com/postrider/smtp/examples/internal/recipe"
)

func main() {
	recipe.Main(func(ctx context.Context, kit *recipe.Kit) error {
		readers := []smtp.Address{kit.To}
		for i := 2; kit.Server != nil && i <= 12; i++ {
			readers = append(readers, smtp.Address{Address: fmt.Sprintf("reader%d@example.net", i)})
		}
		kit.Mailer.MaxConns = 4
		kit.Mailer.Limiter = &pace{every: time.Second / 200}
		s := sendAll(ctx, kit.Mailer, letters(kit.From, readers), len(readers), os.Stderr)
		fmt.Println("accepted:", s.accepted)
		for _, reason := range slices.Sorted(maps.Keys(s.refused)) {
			fmt.Printf("refused by %s: %s\n", reason, strings.Join(slices.Sorted(slices.Values(s.refused[reason])), ", "))
		}
		fmt.Println("to be tried again:", strings.Join(s.again, ", "))
		fmt.Println("unknown:", strings.Join(s.unknown, ", "))
		return ctx.Err() // If it has ended, there are readers whose turn did not come.
	}, troubled) // in server.go
}
