package detect

// LoadText loads one file that is not on a disk.
func LoadText(o Options, src []byte) (*Ruleset, LoadResult) {
	l := newLoader(o)
	l.loadFile("rule.yml", src, nil)
	return l.link()
}
