package incident

import (
	"slices"
	"strings"
	"unicode"
)

// Independent reports whether two people are independent of each other: they are
// two humans, and neither delegated to the other in the incident. It is the only
// check of a second person. named are the delegations of the incident.
func Independent(d Directory, named []Delegation, a, b PersonID) bool {
	return a != "" && b != "" && !d.SameHuman(a, b) && !slices.ContainsFunc(named, func(g Delegation) bool {
		return g.From == a && g.To == b || g.From == b && g.To == a
	})
}

// Independent calls [Independent] with the delegations of the incident.
func (i Incident) Independent(d Directory, a, b PersonID) bool {
	return Independent(d, i.Delegations, a, b)
}

// secondPerson returns an error if the actor is not independent of the first
// person. act names what the two must do, as in "dismiss INC-7".
func (d *decider) secondPerson(first PersonID, act string) error {
	switch {
	case d.env.Directory.SameHuman(first, d.env.Actor):
		return Conflict("you are the first of the two people who must %s. Ask another person to do it", act)
	case !d.inc.Independent(d.env.Directory, first, d.env.Actor):
		return Conflict("two independent people must %s, and %s is a deputy whom the other named. Ask another person to do it",
			act, d.env.Directory.Name(d.env.Actor))
	}
	return nil
}

// SameHuman reports whether two people of the directory may be one human: they
// share an identity, a mail address or a name. Somebody whose name is unknown and
// who has no account at a provider of the other may be the other, too.
func (d Directory) SameHuman(a, b PersonID) bool {
	if a == b {
		return true
	}
	p, known := d.Person(a)
	q, too := d.Person(b)
	return known && too && p.sameHuman(q)
}

// severalHumans reports whether the people are at least two humans.
func (d Directory) severalHumans(people []PersonID) bool {
	return slices.ContainsFunc(people, func(p PersonID) bool { return !d.SameHuman(p, people[0]) })
}

func (p Person) sameHuman(q Person) bool {
	common := false
	for _, x := range p.Identities {
		for _, y := range q.Identities {
			if strings.EqualFold(mailOf(x), mailOf(y)) && mailOf(x) != "" || x.Provider == y.Provider && x.ID == y.ID {
				return true
			}
			common = common || x.Provider == y.Provider
		}
	}
	if p.nameless() || q.nameless() {
		return !common
	}
	name := NormalName(p.Name)
	return name != "" && name == NormalName(q.Name)
}

// mailOf returns the mail address of an identity, or "". Some providers use it as
// the id of an account.
func mailOf(h Identity) string {
	if id := strings.TrimSpace(h.ID); h.Provider == ProviderMail || strings.Contains(id, "@") {
		return id
	}
	return ""
}

// nameless reports whether the name of a person is unknown. Members of Slack user
// groups that are not listed under people have an id instead.
func (p Person) nameless() bool {
	return NormalName(p.Name) == "" || slices.ContainsFunc(p.Identities, func(h Identity) bool { return h.ID == p.Name })
}

// NormalName returns a name for comparisons: in lower case, without accents and
// punctuation. "LOVELACE, Ada" equals "ada lovelace".
func NormalName(name string) string {
	if family, given, found := strings.Cut(name, ","); found {
		name = given + " " + family
	}
	plain := strings.Map(func(r rune) rune {
		r = unicode.ToLower(r)
		if n := strings.IndexRune(accented, r); n >= 0 {
			r = []rune(plainLetters)[len([]rune(accented[:n]))]
		}
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsLetter(r), unicode.IsNumber(r):
			return r
		}
		return ' '
	}, name)
	return strings.Join(strings.Fields(plain), " ")
}

// Letters with accents and, at the same index, the letters without.
const (
	accented     = "àáâãäåāăąçćĉċčďđèéêëēĕėęěĝğġģĥħìíîïĩīĭįıĵķĺļľłñńņňòóôõöøōŏőŕŗřśŝşšșţťțùúûüũūŭůűųŵýÿŷźżž"
	plainLetters = "aaaaaaaaacccccddeeeeeeeeegggghhiiiiiiiiijkllllnnnnooooooooorrrssssstttuuuuuuuuuuwyyyzzz"
)
