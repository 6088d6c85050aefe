package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
)

// The bounds of a pack.
const (
	MaxSize   = 256 << 20 // bytes of the archive
	maxFiles  = 20_000
	maxName   = 200
	maxRecord = 8 << 20 // bytes of one line or of one small file
)

// manifestName is the file with the SHA-256 of every other file, in the format of sha256sum.
const manifestName = "MANIFEST.sha256"

// The signatures, sizes and constant fields of the ZIP format.
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	endSignature     = 0x06054b50
	localSize        = 30
	zipVersion       = 10
	zipDate          = 1<<5 | 1 // 1980-01-01: equal files make equal archives
)

// encode returns the archive of files. Equal files make equal bytes.
func encode(files map[string][]byte) ([]byte, error) {
	size := 0
	for name, content := range files {
		if err := checkName(name); err != nil {
			return nil, err
		}
		size += len(content) + 2*len(name) + 128
	}
	if len(files) > maxFiles || size > MaxSize {
		return nil, fmt.Errorf("the pack would have %d files and %d MiB. At most %d files and %d MiB are possible", len(files), size>>20, maxFiles, MaxSize>>20)
	}
	out := make([]byte, 0, size)
	var central []byte
	le := binary.LittleEndian
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content, offset := files[name], len(out)
		var common []byte
		common = le.AppendUint16(common, zipVersion) // to extract
		common = le.AppendUint16(common, 0)          // flags
		common = le.AppendUint16(common, 0)          // stored
		common = le.AppendUint16(common, 0)          // time
		common = le.AppendUint16(common, zipDate)
		common = le.AppendUint32(common, crc32.ChecksumIEEE(content))
		common = le.AppendUint32(common, uint32(len(content)))
		common = le.AppendUint32(common, uint32(len(content)))
		common = le.AppendUint16(common, uint16(len(name)))
		common = le.AppendUint16(common, 0) // extra field
		out = le.AppendUint32(out, localSignature)
		out = append(append(append(out, common...), name...), content...)
		central = le.AppendUint32(central, centralSignature)
		central = le.AppendUint16(central, zipVersion) // made by
		central = append(central, common...)
		central = append(central, make([]byte, 10)...) // comment, disk, attributes
		central = le.AppendUint32(central, uint32(offset))
		central = append(central, name...)
	}
	offset := len(out)
	out = append(out, central...)
	out = le.AppendUint32(out, endSignature)
	out = append(out, 0, 0, 0, 0) // disks
	out = le.AppendUint16(out, uint16(len(files)))
	out = le.AppendUint16(out, uint16(len(files)))
	out = le.AppendUint32(out, uint32(len(central)))
	out = le.AppendUint32(out, uint32(offset))
	return append(out, 0, 0), nil
}

// errArchive means that Tocsin writes other bytes for these files.
var errArchive = errors.New("the file is not an evidence pack as Tocsin wrote it. Its bytes were changed, something was added, or it was packed again")

// decode returns the files of an archive. It accepts only the bytes that encode returns for these files. The result
// refers to data.
func decode(data []byte) (map[string][]byte, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file has %d MiB. An evidence pack has at most %d MiB", len(data)>>20, MaxSize>>20)
	}
	files := map[string][]byte{}
	for rest := data; len(rest) >= localSize && binary.LittleEndian.Uint32(rest) == localSignature; {
		size, length := int64(binary.LittleEndian.Uint32(rest[18:])), int64(binary.LittleEndian.Uint16(rest[26:]))
		end := localSize + length + size
		if end > int64(len(rest)) || len(files) >= maxFiles {
			return nil, errArchive
		}
		name, content := string(rest[localSize:localSize+length]), rest[localSize+length:end]
		if err := checkName(name); err != nil {
			return nil, err
		}
		if _, isDouble := files[name]; isDouble {
			return nil, fmt.Errorf("the file %s is in the pack twice", name)
		}
		if crc32.ChecksumIEEE(content) != binary.LittleEndian.Uint32(rest[14:]) {
			return nil, fmt.Errorf("the file %s was changed: its checksum in the archive differs", name)
		}
		files[name], rest = content, rest[end:]
	}
	if len(files) == 0 {
		return nil, errArchive
	}
	if want, err := encode(files); err != nil || !bytes.Equal(want, data) {
		return nil, errArchive
	}
	return files, nil
}

// checkName returns an error if an extracted file could leave the folder of the pack.
func checkName(name string) error {
	bad := name == "" || len(name) > maxName
	for _, r := range name {
		bad = bad || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/", r)
	}
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || strings.HasPrefix(part, ".")
	}
	if bad {
		return fmt.Errorf("the pack has a file with the forbidden name %.40q", name)
	}
	return nil
}

// manifest returns the content of the manifest of files.
func manifest(files map[string][]byte) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == manifestName {
			continue
		}
		sum := sha256.Sum256(files[name])
		b = append(hex.AppendEncode(b, sum[:]), "  "+name+"\n"...)
	}
	return b
}

// checkManifest returns an error unless the manifest has every file of the pack with its SHA-256, and nothing else.
func checkManifest(files map[string][]byte) error {
	have, ok := files[manifestName]
	if !ok {
		return fmt.Errorf("the file %s is missing", manifestName)
	}
	want := manifest(files)
	if bytes.Equal(have, want) {
		return nil
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(have)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		listed[name] = sum
	}
	for line := range strings.Lines(string(want)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		switch got, known := listed[name]; {
		case !known:
			return fmt.Errorf("the file %s is not in the manifest: it was added", name)
		case got != sum:
			return fmt.Errorf("the file %s was changed: the manifest has another SHA-256", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		return fmt.Errorf("the file %.200q of the manifest is missing", name)
	}
	return errors.New("the manifest was changed")
}
