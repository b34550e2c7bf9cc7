// Counts the 401s of each client. A counter expires (see failed-logins.conf), and all of
// nginx's processes share them.

function noteAnswer(r) {
    if (r.status === 401) {
        ngx.shared.failed_logins.incr(r.variables.client, 1, 0);
    }
}

function count(r) {
    return ngx.shared.failed_logins.get(r.variables.client) || 0;
}

function exceeded(r) {
    return count(r) >= Number(r.variables.limit_failed_logins) ? '1' : '';
}

export default { exceeded, noteAnswer };
