package snippets

import (
	"os"
	"path/filepath"
	"testing"
)

func read(t *testing.T, page string) ([]Block, error) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(path)
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	blocks, err := read(t, "# Page\n\nBefore:\n\n```go\nif x {\n\ty()\n}\n```\n\n    make\n\nAfter:\n```go\ny()\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) != 2 || blocks[0].Title != "Before:" || blocks[1].Title != "After:" {
		t.Fatalf("blocks: %q", blocks)
	}
	if !blocks[0].In("func f() {\n\tif x {\n\t\ty()\n\t}\n}\n") || blocks[0].In("\tif x {\n\t\tz()\n\t}\n") {
		t.Error("the first block is found in the wrong source")
	}
}

func TestNoBlocks(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"", "# Page\n", "```sh\nmake\n```\n", "```go\ny()\n", "```go\n\n```\n"} {
		if blocks, err := read(t, page); err == nil {
			t.Errorf("%q has blocks: %q", page, blocks)
		}
	}
}
