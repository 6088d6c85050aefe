package response

import lru "github.com/hashicorp/golang-lru/v2"

// The bounds of a memo: at most 8 MiB of texts and of what they become.
const (
	memoTexts   = 2048
	memoMaxText = 2 << 10 // bytes
)

// memo is a [Redactor] that remembers short texts. Each effect of an incident shows the
// same title, alerts and facts, and finding secrets in them costs more than the rest of
// an effect. The rules of a redactor never change, so the result of a text does not
// either.
type memo struct {
	Redactor
	texts *lru.Cache[string, string]
}

func newMemo(r Redactor) memo {
	texts, _ := lru.New[string, string](memoTexts) // fails only for a size below 1
	return memo{r, texts}
}

// Text implements [Redactor].
func (m memo) Text(text string) string {
	if len(text) > memoMaxText {
		return m.Redactor.Text(text)
	}
	if redacted, ok := m.texts.Get(text); ok {
		return redacted
	}
	redacted := m.Redactor.Text(text)
	m.texts.Add(text, redacted)
	return redacted
}
