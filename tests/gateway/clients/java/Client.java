// A client of the face API with what the JDK brings: java.net.http.HttpClient and nothing else.
//
//     java Client.java URL KEY SECRET [HTTP_1_1]
//
// URL of the gateway; a key that may write. On standard input three lines: pictures in base64 of a
// face, of the same face in another light, and of none. Ends with "done", or with what was wrong.
// Without a version the JDK's client is as it is by default.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final HttpClient http;
    private final String url;
    private String token = "";

    Client(String url, String version) {
        HttpClient.Builder builder = HttpClient.newBuilder().connectTimeout(PATIENCE);
        if (!version.isEmpty()) {
            builder.version(HttpClient.Version.valueOf(version));
        }
        this.http = builder.build();
        this.url = url;
    }

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(arguments[0], arguments.length > 3 ? arguments[3] : "");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        client.story(arguments[1], arguments[2], input.readLine(), input.readLine(), input.readLine());
        System.out.println("done");
    }

    private void story(String key, String secret, String face, String similar, String nobody)
            throws Exception {
        refused(ask("faceset/group/getlist", "{}"), 110, "Access token invalid or no longer valid");
        token = text(askForToken(key, secret), "access_token");
        String group = "\"group_id\": \"staff\"";
        String ada = group + ", \"user_id\": \"ada\"";

        refused(ask("faceset/user/add", picture(face, ada)), 223100, "group is not exist");
        done(ask("faceset/group/add", "{" + group + "}"));
        refused(ask("faceset/group/add", "{" + group + "}"), 223101, "group is already exist");

        String added = text(done(ask("faceset/user/add", picture(face, ada))), "face_token");
        refused(ask("faceset/user/add", picture(face, ada)), 223105, "face is already exist");

        String seen = done(ask("detect", picture(face, "\"face_field\": \"age,landmark,race\"")));
        expect(text(seen, "face_token").equals(added), "the same picture has the same token");
        expect(seen.contains("\"landmark72\":["), "landmark brings landmark72");
        // As clients read it that declare these an int.
        Integer.parseInt(number(seen, "width"));
        Integer.parseInt(number(seen, "height"));
        Double.parseDouble(number(seen, "left"));
        refused(ask("detect", picture(nobody, "\"max_face_num\": 1")), 222202, "pic not has face");

        String found = done(ask("search", picture(similar, "\"group_id_list\": \"staff\"")));
        expect(text(found, "user_id").equals("ada"), "ada is found");
        expect(Double.parseDouble(number(found, "score")) > 80, "with a score over 80");
        String two = "[" + picture(face, "") + "," + picture(similar, "") + "]";
        expect(Double.parseDouble(number(done(ask("match", two)), "score")) > 80, "they match");

        done(ask("faceset/face/delete", "{" + ada + ", \"face_token\": \"" + added + "\"}"));
        String search = picture(face, "\"group_id_list\": \"staff\"");
        refused(ask("search", search), 222207, "match user is not found");
        refused(ask("faceset/user/get", "{" + ada + "}"), 223103, "user is not exist");
        done(ask("faceset/group/delete", "{" + group + "}"));
    }

    /** As the cloud's Java SDK asks: parameters in the address, a JSON type, and no body. */
    private String askForToken(String key, String secret) throws Exception {
        String address = url + "/oauth/2.0/token?grant_type=client_credentials&client_id="
                + quoted(key) + "&client_secret=" + quoted(secret);
        return send(address, "");
    }

    private String ask(String path, String json) throws Exception {
        return send(url + "/rest/2.0/face/v3/" + path + "?access_token=" + quoted(token), json);
    }

    private String send(String address, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(address))
                .timeout(PATIENCE)
                .header("Content-Type", "application/json; charset=utf-8")
                .POST(BodyPublishers.ofString(body))
                .build();
        return http.send(request, BodyHandlers.ofString(StandardCharsets.UTF_8)).body();
    }

    private static String picture(String image, String more) {
        String comma = more.isEmpty() ? "" : ", ";
        return "{\"image\": \"" + image + "\", \"image_type\": \"BASE64\"" + comma + more + "}";
    }

    private static String done(String answer) {
        refused(answer, 0, "SUCCESS");
        return answer;
    }

    private static void refused(String answer, int code, String message) {
        expect(number(answer, "error_code").equals(String.valueOf(code)), answer);
        expect(text(answer, "error_msg").equals(message), answer);
    }

    private static String text(String answer, String name) {
        return first(answer, "\"" + name + "\":\"([^\"]*)\"");
    }

    private static String number(String answer, String name) {
        return first(answer, "\"" + name + "\":(-?[0-9.eE+-]+)");
    }

    private static String first(String answer, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(answer);
        expect(matcher.find(), pattern + " is not in " + answer);
        return matcher.group(1);
    }

    private static String quoted(String value) {
        return URLEncoder.encode(value, StandardCharsets.UTF_8);
    }

    private static void expect(boolean condition, String what) {
        if (!condition) {
            throw new IllegalStateException(what);
        }
    }
}
