// Package stream reads and writes the rows of a database in a format that belongs to no database. Backups are such
// streams, and so is the way from SQLite to PostgreSQL and back.
//
//	w, err := stream.NewWriter(file, stream.Header{Schema: 21, Origin: "tocsin/3f2a…", Engine: "sqlite", At: now})
//	err = w.Table("counters", []stream.Column{{Name: "name", Type: stream.Text}, {Name: "value", Type: stream.Int}})
//	err = w.Row([]any{"incident", int64(7)})
//	manifest, err := w.Close(stream.Manifest{LastIncident: 7}, mac)
//
// # Format
//
// This section is complete: with it and the schema of a version, a program in any language can read a stream.
//
// A stream is compressed with Zstandard (RFC 8878). Inside it begins with the 16 bytes "tocsin stream 1\n", where 1 is the
// version of the format. Frames follow. A frame is one byte for its kind, the length of its content as uvarint, and the
// content. A uvarint is a number in groups of 7 bits, the lowest first, with the high bit set in all bytes but the last
// (LEB128). A varint is a signed number n as the uvarint of 2n, or of -2n-1 if n is negative (ZigZag).
//
//	kind  content                                  number of frames
//	'H'   JSON of [Header]                         one, the first
//	'T'   JSON of [Table]: name and columns        one for each table
//	'R'   the row's values, one after another      any number after its 'T'
//	'M'   JSON of [Manifest]                       one, after all tables
//	'Z'   SHA-256, then MAC                        one, the last
//
// The columns of a table are in the order of their names. A value has one byte, 0 for NULL or 1, and after 1:
//
//	type    content
//	int     varint
//	bool    one byte, 0 or 1
//	text    length as uvarint, then UTF-8 without NUL characters
//	bytes   length as uvarint, then bytes
//	time    microseconds since 1970-01-01 00:00 UTC as varint
//
// Tables are in an order that foreign keys allow, and rows in the order of their primary key, by bytes for text. Equal
// rows are equal bytes, whatever database they come from. The manifest has the SHA-256 of each table: of all bytes of its
// frame 'T' and of its frames 'R', with kinds and lengths. The SHA-256 in 'Z' is that of all uncompressed bytes before
// the frame 'Z'. The MAC in 'Z' is a keyed hash of this SHA-256, which only an instance with the same keyset can compute.
// Nothing follows after 'Z'.
//
// # Versions
//
// The version of the format is in the first line. The version of the schema is in the header: it is the number of the last
// migration, and migrations are never changed after a release. A later program creates the schema of that version, inserts
// the rows and applies the later migrations, all in one transaction.
package stream
