package bot

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// Limits of telltale phrases. Well-kept Go projects have 28 to 54 per 1,000
// comment lines.
const (
	maxInComments = 80 // per 1,000 comment lines of a package, and of its tests
	maxInStrings  = 60 // per 1,000 sentences in the string literals of a package
)

// telltale is a phrase of English that is hard to read.
type telltale struct {
	name    string
	pattern *regexp.Regexp
	// except reports whether the match at [from, to) is ordinary English. Nil: none is.
	except func(text string, from, to int) bool
}

var telltales = []telltale{
	{"headless relative clause", regexp.MustCompile(`(?:^|[.;:!?] )(?:[Ww]hat|Who|[Ww]hoever|[Ww]hatever|Whichever|Where|[Ww]herever)\b`), isQuestion},
	{"what or whoever as a pronoun", regexp.MustCompile(`\b(?:what|whoever|whatever|whichever|whomever|wherever|whence)\b`), opensSentence},
	{"is none, is no X", regexp.MustCompile(`\b(?:is|are|was|were|be) (?:none\b|no \w)|\bnone of ours\b`), ordinaryNegation},
	{"anew, once more, for ever", regexp.MustCompile(`\banew\b|\bonce more\b|\bfor ever\b|\ball the same\b|\bever after\b|\bno more than\b|\bby now\b|\bmeanwhile\b`), nil},
	{"of its own", regexp.MustCompile(`\bof (?:its|their|our|his|one's) own\b|\bof (?:ours|theirs)\b|\bby itself\b|\bof itself\b`), nil},
	{"somebody, nobody, everybody", regexp.MustCompile(`\b(?:some|no|every|any)body\b`), nil},
	{"as it is", regexp.MustCompile(`\bas (?:it|they|he|that) (?:is|are|was|were|stands?|stood|comes?|came|has|have|does|do)\b|\bas if it\b|\bsuch that\b`), nil},
	{"says, tells, hears", regexp.MustCompile(`\b(?:says?|said|tells?|told|hears?|heard|asks?|asked)\b`), nil},
	{"is kept, keeps", regexp.MustCompile(`\b(?:kept|keeps?)\b`), nil},
	{"stands", regexp.MustCompile(`\b(?:stands?|stood)\b`), followedBy(" for ")},
	{"comes, goes on, brings", regexp.MustCompile(`\b(?:comes?|came|goes on|go on|going on|went on|brings?|brought|fetches home|takes? up|took up)\b`), nil},
	{"of which, by whom", regexp.MustCompile(`\b(?:of|by|in|to|under|from|with|without|for|at|on|through|behind|after|before) (?:which|whom|whose)\b`), nil},
	{"that of, those that", regexp.MustCompile(`\b(?:that|those) (?:of|that|which|who|from|with|without|to)\b|\bthe (?:one|ones) (?:that|which|who|of)\b`), nil},
	{"so that, but for, lest", regexp.MustCompile(`\bso that\b|\bbut for\b|\blest\b|\bsave for\b|\bbesides?\b|\bas long as\b|\bas far as\b`), nil},
	{"has it, is owed, grave", regexp.MustCompile(`\b(?:grave|graver|gravest|gravely|owes?|owed|trait|shelf|shelves|errand|tidings|proclaim\w*|unheard|innards|insides|letter|house|doors?|handed|hear of|malice)\b`), nil},
	{"does so, the same", regexp.MustCompile(`\bdo(?:es)? (?:so|the same|it)\b|\bdid so\b|\bis the same\b|\bthe same for\b|\b[Ii]t was so\b`), nil},
	{"semicolon in a sentence", regexp.MustCompile(`; \w`), nil},
}

// isQuestion reports whether the clause ends with a question mark.
func isQuestion(text string, _, to int) bool {
	clause, _, _ := strings.Cut(text[to:], ".")
	return strings.Contains(clause, "?")
}

// opensSentence reports whether the word is counted as a headless clause.
func opensSentence(text string, from, _ int) bool {
	return from == 0 || from >= 2 && strings.ContainsRune(".;:", rune(text[from-2])) && text[from-1] == ' '
}

func ordinaryNegation(text string, from, to int) bool {
	if from >= 6 && strings.EqualFold(text[from-6:from], "there ") {
		return true
	}
	rest := text[to-1:]
	return slices.ContainsFunc([]string{"longer", "more", "need", "way", "op"}, func(word string) bool { return strings.HasPrefix(rest, word) })
}

func followedBy(words string) func(string, int, int) bool {
	return func(text string, _, to int) bool { return strings.HasPrefix(text[to:]+" ", words) }
}

// bannedWords have no ordinary meaning in this program, in prose and in names.
var bannedWords = []string{"anew", "comeback", "confidant", "errand", "errands", "grave", "graver", "gravest", "hark", "innards", "lest",
	"malice", "proclaim", "shelf", "shelve", "shelved", "shelves", "tidings", "unheard", "whence", "whisper", "whispers"}

// bannedPhrases are terms that the glossary replaces.
var bannedPhrases = regexp.MustCompile(`(?i)\b(?:heard out|once more|for ever|told again|comes again|has it now|nobody has it|the house|is owed|held against|led nowhere|behind closed doors)\b`)

// prose counts lines or sentences, and the telltale phrases in them.
type prose struct {
	units int
	hits  []string
}

func (p *prose) add(where, text string, units int) {
	p.units += units
	for _, t := range telltales {
		for _, at := range t.pattern.FindAllStringIndex(text, -1) {
			if t.except == nil || !t.except(text, at[0], at[1]) {
				p.hits = append(p.hits, fmt.Sprintf("%s: %s: %.150s", where, t.name, text))
			}
		}
	}
}

// check fails if the phrases exceed limit per 1,000 units.
func (p *prose) check(t *testing.T, name string, limit int) {
	t.Helper()
	if got := float64(len(p.hits)) * 1000 / float64(max(p.units, 1)); got > float64(limit) {
		t.Errorf("%s: got %.0f telltale phrases per 1,000, want at most %d:\n%s", name, got, limit, strings.Join(p.hits, "\n"))
	}
}

var (
	directive = regexp.MustCompile(`^\s*(?:go:|nolint|lint:|line |export |build |\+build|@|Code generated)`)
	someWords = regexp.MustCompile(`[a-z]{2,} [a-z]{2,}`)
	sqlWords  = regexp.MustCompile(`\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA)\b`)
)

// readComments adds the comments of a file, a group at a time.
func (p *prose) readComments(fset *token.FileSet, file *ast.File) {
	for _, group := range file.Comments {
		var lines []string
		for _, c := range group.List {
			for line := range strings.SplitSeq(strings.Trim(c.Text, "/*"), "\n") {
				if line = strings.TrimSpace(strings.TrimPrefix(line, "//")); line != "" && !directive.MatchString(line) {
					lines = append(lines, line)
				}
			}
		}
		if len(lines) > 0 {
			p.add(fset.Position(group.Pos()).String(), strings.Join(lines, " "), len(lines))
		}
	}
}

// readStrings adds the string literals of a file that are sentences.
func (p *prose) readStrings(fset *token.FileSet, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil || len(strings.Fields(lit.Value)) < 3 || !someWords.MatchString(lit.Value) || sqlWords.MatchString(lit.Value) {
			return true
		}
		p.add(fset.Position(lit.Pos()).String(), strings.ReplaceAll(text, "\n", " "), 1)
		return true
	})
}

// sources calls visit for each file of the repository with one of the endings.
func sources(t *testing.T, visit func(path string, content []byte), endings ...string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != ".." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "fuzz"):
			return fs.SkipDir
		case e.IsDir() || !slices.Contains(endings, filepath.Ext(path)):
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil {
			visit(path, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A high count is a smoke alarm: read the sentences that it lists, and rewrite
// them in plain English.
func TestProse_FewTelltalePhrases(t *testing.T) {
	comments, tests, texts := map[string]*prose{}, map[string]*prose{}, map[string]*prose{}
	of := func(set map[string]*prose, dir string) *prose {
		if set[dir] == nil {
			set[dir] = &prose{}
		}
		return set[dir]
	}
	fset := token.NewFileSet()
	sources(t, func(path string, content []byte) {
		file, err := parser.ParseFile(fset, path, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(path)
		switch {
		case strings.HasSuffix(path, "prose_test.go"): // it lists the phrases
		case strings.HasSuffix(path, "_test.go"):
			of(tests, dir).readComments(fset, file)
		default:
			of(comments, dir).readComments(fset, file)
			of(texts, dir).readStrings(fset, file)
		}
	}, ".go")
	if len(comments) < 25 {
		t.Fatalf("got %d packages, want at least 25", len(comments))
	}
	for dir, p := range comments {
		p.check(t, "comments of "+dir, maxInComments)
	}
	for dir, p := range tests {
		p.check(t, "comments in tests of "+dir, maxInComments)
	}
	sentences := 0
	for dir, p := range texts {
		p.check(t, "strings of "+dir, maxInStrings)
		sentences += p.units
	}
	if sentences < 2000 {
		t.Errorf("got %d sentences in strings, want at least 2,000", sentences)
	}
}

// The words are banned in comments, strings, names, documents and templates.
func TestProse_NoBannedWords(t *testing.T) {
	endings := []string{".go", ".sql", ".md", ".yaml", ".tmpl", ".html", ".css", ".js", ".txtar"}
	files := map[string]int{}
	sources(t, func(path string, content []byte) {
		files[filepath.Ext(path)]++
		if strings.HasSuffix(path, "prose_test.go") {
			return
		}
		for n, line := range strings.Split(string(content), "\n") {
			if found := bannedPhrases.FindString(line); found != "" {
				t.Errorf("%s:%d: replace %q by the term of the trade: %s", path, n+1, found, strings.TrimSpace(line))
			}
			for _, word := range splitWords(line) {
				if slices.Contains(bannedWords, word) {
					t.Errorf("%s:%d: replace %q by the term of the trade: %s", path, n+1, word, strings.TrimSpace(line))
				}
			}
		}
	}, append(endings, ".yml")...)
	for _, ending := range endings {
		if files[ending] == 0 || files[".go"] < 400 {
			t.Errorf("got %d files %s and %d .go files, want some and at least 400", files[ending], ending, files[".go"])
		}
	}
}

// splitWords returns the words of a line in lower case, with names in camel
// case taken apart.
func splitWords(line string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words, word = append(words, strings.ToLower(string(word))), nil
		}
	}
	for _, r := range line {
		switch {
		case !unicode.IsLetter(r):
			flush()
			continue
		case unicode.IsUpper(r) && len(word) > 0 && unicode.IsLower(word[len(word)-1]):
			flush()
		}
		word = append(word, r)
	}
	flush()
	return words
}

// The gate itself must find the phrases that it looks for.
func TestProse_Finds(t *testing.T) {
	for text, want := range map[string]int{
		"Sentence returns the event in one line.":              0,
		"Whoever asks is told what it says.":                   5,
		"What happened? Restart the bot.":                      0,
		"There is no limit. The key is no longer valid.":       0,
		"It is no URL, and nobody keeps it.":                   3,
		"The rule stands for a class; it stands in the table.": 2,
	} {
		var p prose
		p.add("test", text, 1)
		if len(p.hits) != want {
			t.Errorf("%q: got %d phrases, want %d: %q", text, len(p.hits), want, p.hits)
		}
	}
	if got := splitWords("mostGrave := x.shelfOf(anew)"); !slices.Equal(got, []string{"most", "grave", "x", "shelf", "of", "anew"}) {
		t.Errorf("got words %q", got)
	}
}
