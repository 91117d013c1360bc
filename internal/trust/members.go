package trust

import (
	"slices"
	"strconv"
	"strings"
)

// databases holds the texts of /etc/passwd, /etc/group and /etc/nsswitch.conf.
type databases struct{ passwd, group, nsswitch string }

// alone reports whether a user and root are the only members of a group. Only root is a member of root's group. The files list
// the members of other groups, unless users also come from a directory service. In that case only a group with the user's own
// name, which systems create for each user, counts as having no other member.
func (d databases) alone(uid, gid uint32) bool {
	if gid == 0 {
		return true
	}
	self := d.userName(uid)
	named := false
	var members []string
	for _, fields := range records(d.group, 4) {
		if fields[2] == number(gid) {
			named = self != "" && fields[0] == self
			members = append(members, strings.FieldsFunc(fields[3], func(r rune) bool { return r == ',' })...)
		}
	}
	if !d.complete() {
		return named && !d.others(members, uid)
	}
	for _, fields := range records(d.passwd, 4) {
		if fields[3] == number(gid) {
			members = append(members, fields[0])
		}
	}
	return !d.others(members, uid)
}

// others reports whether names contains a name that is neither the user's nor root's.
func (d databases) others(names []string, uid uint32) bool {
	self := d.userName(uid)
	return slices.ContainsFunc(names, func(name string) bool { return name != self && name != "root" })
}

// userName returns the first name of a user id, or "" if there is none.
func (d databases) userName(uid uint32) string {
	for _, fields := range records(d.passwd, 3) {
		if fields[2] == number(uid) {
			return fields[0]
		}
	}
	return ""
}

// local lists the sources of nsswitch.conf whose users are all in the files or belong to running services.
var local = [...]string{"files", "compat", "systemd", "altfiles", "mymachines", "myhostname", "cache"}

// complete reports whether the files list all users and groups.
func (d databases) complete() bool {
	for line := range strings.Lines(d.nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		database, services, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || database != "passwd" && database != "group" {
			continue
		}
		for _, service := range strings.Fields(services) {
			if !strings.HasPrefix(service, "[") && !slices.Contains(local[:], service) {
				return false
			}
		}
	}
	return true
}

// records returns the lines of a database that have at least n fields.
func records(text string, n int) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		if fields := strings.Split(strings.TrimRight(line, "\n"), ":"); len(fields) >= n {
			all = append(all, fields)
		}
	}
	return all
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
