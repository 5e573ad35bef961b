// Package migration holds what docs/migration.md shows of other packages, so that it is
// known to compile; nobody runs it, since it dials a server that is not there. What the
// page says of them is tried.
package migration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/smtp/internal/snippets"
)

// TestMigrationPage: what the page shows as Before is compiled here. Where only the page has
// changed, go test takes its last result, unless it is called with -count=1.
func TestMigrationPage(t *testing.T) {
	t.Parallel()
	blocks, err := snippets.Read("../../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	source := ownSource(t)
	before := 0
	for _, block := range blocks {
		if !strings.HasPrefix(block.Title, "**Before**") {
			continue // The tests of the package itself run it.
		}
		if !block.In(source) {
			t.Errorf("not compiled anywhere:\n%s", block.Code)
		}
		before++
	}
	if before != len(compiled) {
		t.Errorf("%d blocks of Before, want %d", before, len(compiled))
	}
}

func ownSource(t *testing.T) string {
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(content)
	}
	return b.String()
}

// compiled are the functions that hold the snippets.
var compiled = []any{
	netSMTPText, netSMTPReady, netSMTPErrors,
	gomailHTML, gomailMany, gomailWriter, gomailAuthority, gomailTest,
	goMailText, goMailTemplate, goMailRetry,
	jordanWrightFile, jordanWrightReader, jordanWrightPool,
}

// What the snippets take from the programs that they are in.
var (
	ctx      = context.Background()
	password string
	tell     func(...any)
	logf     func(string, ...any)
	later    func()
)
