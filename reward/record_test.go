package reward

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

func TestDecodeRecords(t *testing.T) {
	turn := 4
	full := Record{"i", "o", 2.5, "ep", "Ann", &turn}
	plain := Record{Input: "i", Output: "o", Value: -1}
	for _, c := range []struct {
		why, text string
		want      []Record
		err       string
	}{
		{"an array, as the Python project writes it", `[{"input":"i","output":"o","value":-1}]`, []Record{plain}, ""},
		{"an object a line", "{\"input\":\"i\",\"output\":\"o\",\"value\":-1}\n{\"input\":\"i\",\"output\":\"o\",\"value\":-1}\n", []Record{plain, plain}, ""},
		{"ids where they are known, unknown fields ignored",
			`[{"input":"i","output":"o","value":2.5,"episode_id":"ep","agent":"Ann","turn":4,"more":[1]}]`, []Record{full}, ""},
		{"an empty array is a file without records", " [ ] ", []Record{}, ""},
		{"an empty file is no array", " \n", nil, "line 2: record 0: unexpected EOF"},
		{"a missing value is not 0", "[\n{\"input\":\"i\",\n\"output\":\"o\"}]", nil, `line 2: record 0: no "value"`},
		{"a missing input", `[{"output":"o","value":1}]`, nil, `line 1: record 0: no "input"`},
		{"a missing output", `[{"input":"o","value":1}]`, nil, `line 1: record 0: no "output"`},
		{"a value of another type", "[\n{\"input\":\"i\",\"output\":\"o\",\"value\":\"1\"}]", nil, "line 2: record 0: json: cannot unmarshal string"},
		{"broken JSON", "[\n{\"input\":\"i\",\"output\":\"o\",\"value\":1},\n{x}]", nil, "line 3: record 1: invalid character 'x'"},
		{"a file that was cut off", `[{"input":"i","output":"o","value":-1},`, nil, "line 1: record 1: "},
		{"text behind the array", "[]\n3", nil, "line 1: record 0: text after the end"},
	} {
		got, err := DecodeRecords(strings.NewReader(c.text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %s", c.why, err, c.err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.why, err, diff)
		}
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	recs := []Record{
		NewRecord(episode.Item{EpisodeID: "e", Agent: "Zoë <O'Neil>", Input: "a\nb & c", Output: `{"action_type": "leave", "argument": ""}`}, 1.0/3),
		{Input: "x", Output: "y", Value: 0},
	}
	path := filepath.Join(t.TempDir(), "rm.json")
	for _, want := range [][]Record{recs, {}} {
		if err := WriteRecords(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRecords(path)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

func TestWriteRecordsRefusesNaN(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rm.json")
	err := WriteRecords(path, []Record{{EpisodeID: "e7", Value: math.NaN()}})
	if err == nil || !strings.Contains(err.Error(), `record 0 (episode "e7") has the value NaN`) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a file was written")
	}
}

func TestReadRecordsNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(path, []byte("[{}]"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := ReadRecords(path)
	if err == nil || err.Error() != path+`: line 1: record 0: no "input"` {
		t.Errorf("error %v", err)
	}
}

func TestReadRecordsOfThePythonProject(t *testing.T) {
	recs, err := ReadRecords(fixtures.Data(t, "train", "rm.json"))
	if err != nil || len(recs) == 0 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	var b bytes.Buffer
	if err := EncodeRecords(&b, recs); err != nil {
		t.Fatal(err)
	}
	again, err := DecodeRecords(&b)
	if diff := cmp.Diff(recs, again); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add([]byte(`[{"input":"i","output":"o","value":1e3,"turn":2}]`))
	f.Add([]byte("{\"input\":\"\",\"output\":\"\",\"value\":-0.5}\n"))
	f.Add([]byte(`[[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		recs, err := DecodeRecords(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := EncodeRecords(&b, recs); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := DecodeRecords(&b)
		if diff := cmp.Diff(recs, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
