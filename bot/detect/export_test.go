package detect

// LoadText loads one rule file from memory.
func LoadText(o Options, src []byte) (*Ruleset, LoadResult) {
	l := newLoader(o)
	l.loadFile("rule.yml", src, nil)
	return l.link()
}

// OffByDefault exports offByDefault.
var OffByDefault = offByDefault
