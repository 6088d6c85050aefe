package trust

import (
	"slices"
	"time"
)

// fallen holds the keys and vouchers that do not count any more, and from when: a key by its fingerprint, a voucher or code by its
// event.
type fallen struct {
	keys map[string]time.Time
	used map[int64]bool
}

// fall adds every key and voucher that rests on others that fell. Events refer only to earlier ones, so one pass in the order of
// the log is enough.
func (s State) fall(f fallen) fallen {
	byKey := func(fingerprint string, at time.Time) bool {
		since, ok := f.keys[fingerprint]
		return ok && !at.Before(since)
	}
	vouchers, keys := s.Vouchers, s.Keys
	for len(vouchers) > 0 || len(keys) > 0 {
		if len(keys) == 0 || len(vouchers) > 0 && vouchers[0].Event < keys[0].Event {
			v := vouchers[0]
			vouchers = vouchers[1:]
			f.used[v.Event] = f.used[v.Event] || byKey(v.Fingerprint, v.At)
			continue
		}
		k := keys[0]
		keys = keys[1:]
		rests := slices.ContainsFunc(k.Approvers, func(a string) bool { return byKey(a, k.RegisteredAt) }) ||
			slices.ContainsFunc(k.Used, func(id int64) bool { return f.used[id] })
		if since, ok := f.keys[k.Fingerprint]; rests && (!ok || since.After(k.RegisteredAt)) {
			f.keys[k.Fingerprint] = k.RegisteredAt
		}
	}
	return f
}

// open returns the keys that fell and count still, and the codes, vouchers and proposals that can still be used, by their
// events.
func (s State) open(f fallen) (keys []Key, open []int64) {
	for _, k := range s.Keys {
		if since, ok := f.keys[k.Fingerprint]; ok && (k.RevokedAt.IsZero() || since.Before(k.RevokedAt)) {
			keys = append(keys, k)
		}
	}
	for _, c := range s.Codes {
		if f.used[c.Event] && !c.Spent {
			open = append(open, c.Event)
		}
	}
	for _, v := range s.Vouchers {
		if f.used[v.Event] && !v.Spent {
			open = append(open, v.Event)
		}
	}
	for _, p := range s.Proposals {
		if f.used[p.Event] && !p.Spent {
			open = append(open, p.Event)
		}
	}
	return keys, open
}

// Since returns everything that people obtained through providers since a time and that still counts: keys, which fall from their registration on, and
// the events of codes, vouchers and proposals that can still be used. It includes everything that rests on such a key or voucher.
func (s State) Since(names []string, since time.Time) (keys []Key, open []int64) {
	through := func(name string, at time.Time) bool { return slices.Contains(names, name) && !at.Before(since) }
	f := fallen{map[string]time.Time{}, map[int64]bool{}}
	for _, k := range s.Keys {
		if through(k.Through, k.RegisteredAt) {
			f.keys[k.Fingerprint] = k.RegisteredAt
		}
	}
	for _, c := range s.Codes {
		f.used[c.Event] = through(c.Through, c.At)
	}
	for _, v := range s.Vouchers {
		f.used[v.Event] = through(v.Through, v.At)
	}
	for _, p := range s.Proposals {
		f.used[p.Event] = through(p.Through, p.At)
	}
	return s.open(s.fall(f))
}
