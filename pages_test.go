package smtp_test

import (
	"go/ast"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/smtp"
)

// pages are all pages of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil || all["README.md"] == "" {
		t.Fatal("no pages", err)
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
	span    = regexp.MustCompile("`([^`\n]+)`")
)

// TestLinks: each link within the repository leads to a file, or to a heading of a page.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page, text := range all {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			if anchor != "" && !slices.Contains(anchors(all[path]), anchor) {
				t.Errorf("%s: there is no heading for #%s in %s", page, anchor, path)
			}
		}
	}
}

// anchors are the headings of a page as links write them.
func anchors(text string) (list []string) {
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(found[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	return list
}

// TestSpelling: what pages call by its name is there: types with their fields and
// methods, tests, and paths.
func TestSpelling(t *testing.T) {
	t.Parallel()
	members, tests, all := publicMembers(t), allTests(t), allNames(t)
	for page, text := range pages(t) {
		if page == "docs/migration.md" { // The first column, and much of the text, is of others.
			text = strings.Join(lastColumn.FindAllString(text, -1), "")
		}
		for _, found := range span.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			name := found[1]
			owner, member, _ := strings.Cut(strings.TrimLeft(name, "*"), ".")
			switch {
			case isTest.MatchString(name):
				if !slices.ContainsFunc(tests, func(test string) bool { ok, _ := filepath.Match(name, test); return ok }) {
					t.Errorf("%s: there is no test %s", page, name)
				}
			case isFile.MatchString(name):
				if matches, _ := filepath.Glob(name); len(matches) == 0 && !strings.HasPrefix(page, "internal/") {
					t.Errorf("%s: there is no %s", page, name)
				}
			case isMember.MatchString(name) && members[owner] != nil:
				if !slices.Contains(members[owner], member) {
					t.Errorf("%s: there is no %s in %s", page, member, owner)
				}
			case isName.MatchString(name) && isOfOurs(page) && !slices.Contains(all, name):
				t.Errorf("%s: there is no %s", page, name)
			}
		}
	}
}

// isOfOurs tells whether a page is of the names that there are, and not of those that were,
// or of those of programs.
func isOfOurs(page string) bool {
	return page != "CHANGELOG.md" && !strings.HasPrefix(page, "internal/")
}

var (
	lastColumn = regexp.MustCompile(`(?m)\|[^|\n]+\|$`)
	isName     = regexp.MustCompile(`^[A-Z]\w*[a-z]\w*$`)
	isTest     = regexp.MustCompile(`^(?:Test|Fuzz|Example|Benchmark)[A-Z]\w*\*?$`)
	isMember   = regexp.MustCompile(`^\*?[A-Z]\w+\.[A-Z]\w+$`)
	isFile     = regexp.MustCompile(`^(?:internal|testdata|examples|docs|smtptest)/[\w./*-]+$|^[\w]+\.(?:go|md)$`)
)

// TestSettingsPage: the page has every setting, and what it says of URLs can be said.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)\\.(\\w+)` \\| (?:`([a-z-]+=[^`]+)`)?").FindAllStringSubmatch(pages(t)["docs/settings.md"], -1)
	listed := map[string][]string{}
	for _, row := range rows {
		listed[row[1]] = append(listed[row[1]], row[2])
		if row[3] == "" {
			continue
		}
		m, err := smtp.ParseURL("smtp://mx.example.com?" + row[3])
		if err != nil || !strings.Contains(m.String(), strings.ReplaceAll(row[3], ",", "%2C")) && row[3] != "tls=required" {
			t.Errorf("%s: %v, %v", row[3], m, err)
		}
	}
	for _, settings := range []any{smtp.Mailer{}, smtp.Options{}, smtp.Timeouts{}} {
		kind := reflect.TypeOf(settings)
		for i := range kind.NumField() {
			if f := kind.Field(i); f.IsExported() && f.Name != "Options" && !slices.Contains(listed[kind.Name()], f.Name) {
				t.Errorf("%s.%s is not on the page", kind.Name(), f.Name)
			}
		}
	}
}

// publicMembers are the fields and methods of the exported types.
func publicMembers(t *testing.T) map[string][]string {
	t.Helper()
	members := map[string][]string{}
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil {
					owner := strings.TrimPrefix(types.ExprString(n.Recv.List[0].Type), "*")
					members[owner] = append(members[owner], n.Name.Name)
				}
			case *ast.TypeSpec:
				var fields *ast.FieldList
				switch kind := n.Type.(type) {
				case *ast.StructType:
					fields = kind.Fields
				case *ast.InterfaceType:
					fields = kind.Methods
				default:
					return true
				}
				for _, field := range fields.List {
					for _, name := range field.Names {
						members[n.Name.Name] = append(members[n.Name.Name], name.Name)
					}
				}
			}
			return true
		})
	})
	return members
}

// allNames are those that the package uses, its own and others.
func allNames(t *testing.T) (names []string) {
	t.Helper()
	eachFile(t, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				names = append(names, name.Name)
			}
			return true
		})
	})
	return names
}

// allTests are the names of the tests of the whole repository.
func allTests(t *testing.T) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
