package redact

import "strings"

// maxPhraseWords limits a passphrase, in words.
const maxPhraseWords = 16

// clauseWords are frequent words that begin a clause or link words of a
// sentence. Generated passphrases rarely contain them.
var clauseWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a about after again already also an and any anyone are as at be because been before being but by can does for from had has have
		he her his if in into is it its must never no not now of on only or our out she should so than that the their then there they this to too until very was
		we were when where which who will with without you your
		au aux avec ce dans de des du elle en est et il la le les mais ne ou par pas pour qui sa se son sur un une
		aber auf bei das dem den der die ein eine er es für im ist mit nach nicht oder sie und von war wir wird zu zum`) {
		m[w] = true
	}
	return m
}()

// phraseEnd returns the end of the passphrase that starts with the value at
// start and end. The phrase ends with the sentence or the line, before a comma, a
// bracket, a quotation mark, a flag or the next key. A value that looks complete
// ends before a word such as "and".
//
// Without a blank after the separator, as in PASS=value, a command may follow. The
// phrase then consists of at least three words of letters.
func (f *finder) phraseEnd(start, end int, spaced bool) int {
	if f.hasMarker(start, end) {
		return end
	}
	words, last := 1, end
	for words < maxPhraseWords && !f.endsSentence(last) {
		from, to, ok := f.nextWord(last)
		if !ok || f.isPhraseKey(from, to) {
			break
		}
		word := f.text[from:to]
		if strings.ContainsAny(f.text[start:last], "0123456789") && clauseWords[strings.ToLower(word)] {
			break
		}
		if !spaced && !onlyLetters(strings.TrimRight(word, ".!?")) {
			return end
		}
		words, last = words+1, to
	}
	if words == 1 || !spaced && (words < 3 || !onlyLetters(f.text[start:end])) {
		return end
	}
	for last > end && strings.IndexByte(".!?,;:", f.text[last-1]) >= 0 {
		last-- // punctuation of the sentence
	}
	return last
}

// wordsAfterVerb returns the passphrase in "the password is correct horse battery
// staple", or an empty range. It requires at least four words of letters and none
// that only sentences have.
func (f *finder) wordsAfterVerb(start, end int) (int, int) {
	words, last := 0, start
	for from, to := start, end; ; words++ {
		word := strings.TrimRight(f.text[from:to], ".,;:!?")
		if !onlyLetters(word) || clauseWords[strings.ToLower(word)] || words == maxPhraseWords {
			return 0, 0
		}
		last = from + len(word)
		if last < to {
			words++
			break
		}
		var ok bool
		if from, to, ok = f.nextWord(to); !ok {
			words++
			break
		}
	}
	if words < 4 {
		return 0, 0
	}
	return start, last
}

// hasMarker reports whether an earlier pass has redacted a part of the text.
func (f *finder) hasMarker(start, end int) bool {
	return strings.IndexByte(f.text[start:end], barrier) >= 0
}

// endsSentence reports whether the word that ends at i ends a sentence or a part of
// it.
func (f *finder) endsSentence(i int) bool {
	return strings.IndexByte(".,;:!?", f.byteAt(i-1)) >= 0 || strings.IndexByte(",;", f.byteAt(i)) >= 0
}

// nextWord returns the word after one or two blanks at i. It returns false at the
// end of a line and before a flag, a quotation mark, a bracket or a symbol.
func (f *finder) nextWord(i int) (from, to int, ok bool) {
	from = i
	for from < i+2 && (f.byteAt(from) == ' ' || f.byteAt(from) == '\t') {
		from++
	}
	if c := f.byteAt(from); from == i || c == '-' || c == '(' || c == neutral || c == barrier || valueEnd[c] {
		return 0, 0, false
	}
	const maxWord = 256
	to = from
	for to < min(len(f.text), from+maxWord) && !valueEnd[f.text[to]] && f.text[to] != neutral {
		to++
	}
	return from, to, true
}

// isPhraseKey reports whether a word is the next key, as in "user=jean", "user: jean"
// and "user = jean".
func (f *finder) isPhraseKey(from, to int) bool {
	if n := f.run(from, urlsafeDot); n > from && n < to && (f.text[n] == '=' || f.text[n] == ':') {
		return true
	}
	next := strings.TrimLeft(f.text[to:min(len(f.text), to+3)], " ")
	return next != "" && (next[0] == '=' || next[0] == ':')
}

func onlyLetters(s string) bool {
	for i := range len(s) {
		if !wordChars[s[i]] || digits[s[i]] {
			return false
		}
	}
	return s != ""
}
