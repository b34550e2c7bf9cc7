// Counts the 401s of each client address. A counter expires (see failed-logins.conf), and all of
// nginx's processes share them.

function noteAnswer(r) {
    if (r.status === 401) {
        ngx.shared.failed_logins.incr(r.remoteAddress, 1, 0);
    }
}

function count(r) {
    return ngx.shared.failed_logins.get(r.remoteAddress) || 0;
}

function exceeded(r) {
    return count(r) >= Number(r.variables.limit_failed_logins) ? '1' : '';
}

export default { exceeded, noteAnswer };
