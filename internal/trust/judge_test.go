package trust

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// Users and groups of these tests.
const (
	me, other     = 1000, 2000
	mine, crowded = 1000, 100
)

func testUser() user {
	return user{
		uid: me, alone: func(gid uint32) bool { return gid == 0 || gid == mine },
		name: func(uid uint32) string { return fmt.Sprintf("uid %d", uid) },
	}
}

func TestFault(t *testing.T) {
	folder, sticky := fs.ModeDir, fs.ModeDir|fs.ModeSticky
	safe, tmp := node{path: "/p", mode: folder | 0o755}, node{path: "/p", mode: sticky | 0o777}
	for name, c := range map[string]struct {
		n, parent node
		way       bool
		want      string // in the error; "": trusted
	}{
		"own file":                     {n: node{mode: 0o644, uid: me}, parent: safe},
		"root's file":                  {n: node{mode: 0o644}, parent: safe},
		"another's file":               {n: node{mode: 0o644, uid: other}, parent: safe, want: "belongs to uid 2000"},
		"another's file, own group":    {n: node{mode: 0o644, uid: other, gid: mine}, parent: safe, want: "run 'chown 1000 /p/f'"},
		"another's folder":             {n: node{mode: folder | 0o755, uid: other}, parent: safe, way: true, want: "run 'chown -R 1000 /p/f'"},
		"file for all to write":        {n: node{mode: 0o666, uid: me}, parent: safe, want: "of uid 1000 can be written by all users"},
		"private group may write":      {n: node{mode: 0o664, uid: me, gid: mine}, parent: safe},
		"root's group may write":       {n: node{mode: folder | 0o775, gid: 0}, parent: safe},
		"crowded group may write":      {n: node{mode: 0o664, uid: me, gid: crowded}, parent: safe, want: "by group 100"},
		"folder for all on the way":    {n: node{mode: folder | 0o777}, parent: safe, way: true, want: "all users"},
		"sticky folder on the way":     {n: node{mode: sticky | 0o777}, parent: safe, way: true},
		"sticky folder at the end":     {n: node{mode: sticky | 0o777}, parent: safe, want: "chmod go-w /p/f"},
		"another's sticky folder":      {n: node{mode: sticky | 0o777, uid: other}, parent: safe, way: true, want: "belongs to"},
		"own folder in a sticky one":   {n: node{mode: folder | 0o700, uid: me}, parent: tmp},
		"another's folder in sticky":   {n: node{mode: folder | 0o755, uid: other}, parent: tmp, want: "belongs to"},
		"sticky file":                  {n: node{mode: fs.ModeSticky | 0o666, uid: me}, parent: safe, way: true, want: "all users"},
		"another's link in sticky":     {n: node{mode: fs.ModeSymlink | 0o777, uid: other}, parent: tmp, want: "is a link that belongs to uid 2000"},
		"own link in sticky":           {n: node{mode: fs.ModeSymlink | 0o777, uid: me}, parent: tmp},
		"another's link in a safe one": {n: node{mode: fs.ModeSymlink | 0o777, uid: other}, parent: safe},
		"device":                       {n: node{mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}, parent: safe},
		"pipe for all to write":        {n: node{mode: fs.ModeNamedPipe | 0o666, uid: me}, parent: safe, want: "all users"},
		"access list":                  {n: node{mode: 0o660, uid: me, gid: mine, users: []uint32{other}}, parent: safe, want: "setfacl -b"},
		"access list of a group":       {n: node{mode: 0o660, uid: me, gid: mine, groups: []uint32{crowded}}, parent: safe, want: "access list"},
		"access list of its owner":     {n: node{mode: 0o660, uid: me, gid: mine, users: []uint32{me, 0}, groups: []uint32{mine}}, parent: safe},
	} {
		t.Run(name, func(t *testing.T) {
			c.n.path = "/p/f"
			fault := testUser().fault(c.n, c.parent, c.way)
			if c.want == "" {
				if fault != nil {
					t.Errorf("fault = %v, want none", fault)
				}
				return
			}
			if fault == nil || !strings.Contains(fault.Error(), c.want) || !strings.Contains(fault.Error(), `"/p/f"`) {
				t.Errorf("fault = %v, want %q and the path", fault, c.want)
			}
		})
	}
}

func TestFaultWhereRootIsUnknown(t *testing.T) {
	u := testUser()
	u.system = 65534 // owner of the root folder in a user namespace without root
	if fault := u.fault(node{path: "/usr", mode: fs.ModeDir | 0o755, uid: 65534}, node{path: "/", mode: fs.ModeDir | 0o755, uid: 65534}, true); fault != nil {
		t.Errorf("fault = %v, want none", fault)
	}
}

func TestAlone(t *testing.T) {
	passwd := "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\ncarl:x:1002:100::/:/\n"
	group := "root:x:0:bob\nann:x:1000:\nusers:x:100:\nstaff:x:50:\nwork:x:60:ann,bob\nann-web:x:61:ann,root\n"
	for name, c := range map[string]struct {
		nsswitch string
		uid, gid uint32
		want     bool
	}{
		"own":                        {uid: 1000, gid: 1000, want: true},
		"another's":                  {uid: 1001, gid: 1000},
		"of many by passwd":          {uid: 1001, gid: 100},
		"of many by group":           {uid: 1000, gid: 60},
		"with root":                  {uid: 1000, gid: 61, want: true},
		"without members":            {uid: 1000, gid: 50, want: true},
		"without a name":             {uid: 1000, gid: 7777, want: true}, // a volume's group
		"unknown user, root's group": {uid: 123456, gid: 0, want: true},  // any user of a container
		"own, with a directory":      {nsswitch: "passwd: files sss\n", uid: 1000, gid: 1000, want: true},
		"no name, with a directory":  {nsswitch: "passwd: files\ngroup: files ldap # all\n", uid: 1000, gid: 7777},
		"no name, files alone":       {nsswitch: "passwd: files [NOTFOUND=return] systemd\nhosts: dns\n", uid: 1000, gid: 7777, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := databases{passwd: passwd, group: group, nsswitch: c.nsswitch}
			if got := d.alone(c.uid, c.gid); got != c.want {
				t.Errorf("alone(%d, %d) = %v, want %v", c.uid, c.gid, got, c.want)
			}
		})
	}
}
