using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Constraints;
using LongCat.ML.Inference.Tests.Chat;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary>Constraints allow what their schema accepts, token by token, over a tokenizer with merges.</summary>
public sealed class OutputConstraintTests(ITestOutputHelper output)
{
    private static readonly HuggingFaceTokenizer s_tokenizer = HuggingFaceTokenizer.Load(Path.Combine(Repository.Root, "samples", "models", "longcat-nano"));

    [Fact]
    public void Random_completions_of_random_schemas_parse_and_satisfy_them()
    {
        int schemas = 0, ended = 0, longest = 0;
        for (int seed = 0; seed < 120; seed++)
        {
            Random random = new(seed);
            JsonElement schema = JsonSerializer.SerializeToElement(new RandomSchema(random).Next());
            OutputConstraint constraint;
            try
            {
                constraint = OutputConstraint.JsonSchema(schema, s_tokenizer);
            }
            catch (InferenceException error) when (error.Message.Contains("no value satisfies", StringComparison.Ordinal))
            {
                continue;
            }

            schemas++;
            for (int round = 0; round < 3; round++)
            {
                if (Complete(constraint.Start, random, 1500) is not { } text)
                {
                    continue;
                }

                ended++;
                longest = Math.Max(longest, text.Length);
                using JsonDocument document = JsonDocument.Parse(text);
                Assert.True(SchemaValidator.Accepts(schema, schema, document.RootElement), $"seed {seed}: {text} is not {schema.GetRawText()}");
            }
        }

        output.WriteLine($"{schemas} schemas, {ended} completions ended, the longest with {longest} characters");
        Assert.True(schemas >= 100 && ended >= schemas * 2, $"{schemas} schemas, {ended} completions");
    }

    [Fact]
    public void Free_objects_parse()
    {
        OutputConstraint constraint = OutputConstraint.Json(s_tokenizer);
        int ended = 0;
        for (int seed = 0; seed < 40; seed++)
        {
            if (Complete(constraint.Start, new Random(seed), 1500) is { } text)
            {
                ended++;
                using JsonDocument document = JsonDocument.Parse(text);
                Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
            }
        }

        Assert.True(ended > 20, $"{ended} ended");
    }

    [Theory]
    [InlineData("""{"type": "integer", "minimum": -12, "maximum": 105}""", "-12|-9|0|7|99|100|105|-0.5|-13|106|007|-0|1e1")]
    [InlineData("""{"type": "integer", "exclusiveMinimum": 9.5, "exclusiveMaximum": 11}""", "10|9|11")]
    [InlineData("""{"type": "string", "minLength": 1, "maxLength": 2}""", "\"a\"|\"日本\"|\"\\u00e9\\ud83d\\ude00\"|\"\"|\"abc\"|\"\\ud83d\"|\"a\nb\"|\"\\x\"")]
    [InlineData("""{"type": "string", "format": "date"}""", "\"2024-02-29\"|\"2000-02-29\"|\"1999-12-31\"|\"2023-02-29\"|\"1900-02-29\"|\"2024-13-01\"|\"0000-01-01\"|\"2024-04-31\"")]
    [InlineData("""{"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"]}""", "{\"a\": null, \"b\": null}|{\"b\":null}|{\n  \"b\": null\n}|{\"a\": null}|{\"b\": null, \"a\": null}|{\"b\": null,}|{}")]
    [InlineData("""{"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "boolean"}}""", "{\"a\": null, \"ab\": true}|{\"ab\": true}|{\"\": true}|{\"a\": true}|{\"b\": null}")]
    [InlineData("""{"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}, "minItems": 1, "maxItems": 3}""", "[1]|[1, 2]|[1,2,3]|[]|[2]|[1, 2, 3, 3]|[1, 3]")]
    [InlineData("""{"type": "number"}""", "0|-1.5|2e10|3.25E-7|01|.5|1.|1e999|+1|NaN")]
    [InlineData("""{"type": ["string", "null"], "enum": ["a", null, 3]}""", "\"a\"|null|3")]
    [InlineData("""{"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25}""", "-1.5|-1.50|-1.4999|0|-0.5|2.2|2.24999|1.25|-1.51|-2|2.25|2.250|2.3|10|1e0")]
    [InlineData("""{"type": "number", "exclusiveMinimum": 0, "maximum": 1}""", "0.1|0.0001|1|1.0|0.999|0|0.0|1.01|-1")]
    [InlineData("""{"type": "number", "minimum": 99.5}""", "99.5|99.6|100|99999.25|99.49|99|-100")]
    [InlineData("""{"type": "number", "maximum": -0.25}""", "-0.25|-0.3|-1|-17.125|-0.2|0|1")]
    [InlineData("""{"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 10}""", "0.01|3.5|10|9.99|0|0.005|10.01|10.001")]
    [InlineData("""{"type": "number", "multipleOf": 0.25, "exclusiveMinimum": -1, "maximum": 20}""", "0.25|0.5|0.50|0|-0.75|19.75|20|20.00|20.25|-1|-1.00|0.3|0.125|1e0")]
    [InlineData("""{"type": "number", "multipleOf": 5}""", "0|5|-15|100|7|5.5")]
    [InlineData("""{"type": "integer", "multipleOf": 7, "minimum": -20, "maximum": 100}""", "-14|0|7|98|-21|1|70|105|99")]
    [InlineData("""{"pattern": "^[a-c]+\\d?$", "minLength": 2, "maxLength": 3}""", "\"ab\"|\"a1\"|\"abc\"|\"ab1\"|\"a\"|\"abc1\"|\"\"|\"a12\"")]
    [InlineData("""{"type": "string", "pattern": "日|x", "maxLength": 2}""", "\"日\"|\"ax\"|\"😀日\"|\"\\u00e9x\"|\"\\ud83d\\ude00x\"|\"abx\"|\"a\"|\"\\u00e9ax\"")]
    [InlineData("""{"type": "string", "format": "date", "pattern": "^20|-29$", "minLength": 10}""", "\"2024-05-05\"|\"1996-02-29\"|\"1996-02-28\"|\"2023-02-29\"|\"20\"")]
    [InlineData("""{"pattern": "^[a-c]+\\d?$"}""", "\"abc\"|\"a1\"|\"\"|\"abd\"|\"1\"|\"a12\"|\"xa\"")]
    [InlineData("""{"type": "string", "pattern": "b.d|^x|y$"}""", "\"abcd\"|\"xq\"|\"qy\"|\"bd\"|\"qx\"|\"yq\"|\"bäd\"")]
    [InlineData("""{"type": "string", "pattern": "^[^a-z]\\\\?\"$"}""", "\"A\\\\\\\"\"|\"A\\\"\"|\"ä\\\"\"|\"a\\\"\"|\"A\"")]
    [InlineData("""{"type": "string", "pattern": "^(\\u00e9|[\\x41-\\x43])$"}""", "\"é\"|\"B\"|\"D\"|\"e\"")]
    public void What_is_allowed(string schema, string candidates)
    {
        OutputConstraint constraint = OutputConstraint.JsonSchema(Json(schema), s_tokenizer);
        foreach (string candidate in candidates.Split('|'))
        {
            bool expected;
            try
            {
                using JsonDocument document = JsonDocument.Parse(candidate);
                expected = SchemaValidator.Accepts(Json(schema), Json(schema), document.RootElement);

                // Narrower than the schema on purpose: the order of properties, no minus zero, exponents of two digits.
                expected &= candidate is not ("{\"b\": null, \"a\": null}" or "-0" or "1e0");
            }
            catch (Exception error) when (error is JsonException or InvalidOperationException)
            {
                expected = false;
            }

            Assert.True(expected == Accepts(constraint.Start, candidate), $"{candidate} under {schema}: expected {expected}");
        }
    }

    [Theory]
    [InlineData("""{"type": "object", "patternProperties": {}}""", "'#': the keyword 'patternProperties'")]
    [InlineData("""{"properties": {"a": {"not": {}}}}""", "'#/properties/a': the keyword 'not'")]
    [InlineData("""{"properties": {"a": {"pattern": "x\\b"}}}""", "'#/properties/a/pattern': the pattern at character 2: '\\b' is not supported")]
    [InlineData("""{"pattern": "(?=a)b"}""", "character 1: groups that look around")]
    [InlineData("""{"pattern": "(?<!a)b"}""", "character 1: groups that look around")]
    [InlineData("""{"pattern": "(a)\\1"}""", "character 4: '\\1' is not supported")]
    [InlineData("""{"pattern": "\\p{L}"}""", "'\\p' is not supported")]
    [InlineData("""{"pattern": "a(^b)"}""", "character 3: '^' inside the pattern")]
    [InlineData("""{"pattern": "a$b"}""", "character 2: '$' inside the pattern")]
    [InlineData("""{"pattern": "(a"}""", "character 1: '(' is not closed")]
    [InlineData("""{"pattern": "a)"}""", "character 2: ')' closes no group")]
    [InlineData("""{"pattern": "[a"}""", "'[' is not closed")]
    [InlineData("""{"pattern": "[z-a]"}""", "expected a range")]
    [InlineData("""{"pattern": "*a"}""", "'*' has nothing to go with")]
    [InlineData("""{"pattern": "a**"}""", "a quantifier follows a quantifier")]
    [InlineData("""{"pattern": "a{2,1}"}""", "expected a quantifier")]
    [InlineData("""{"pattern": "a{x}"}""", "expected a quantifier")]
    [InlineData("""{"pattern": "a{99999}"}""", "more than 10000 repetitions")]
    [InlineData("""{"pattern": "\\ud83d"}""", "half of a surrogate pair")]
    [InlineData("""{"pattern": "a\\"}""", "stands at the end")]
    [InlineData("""{"pattern": 3}""", "expected a regular expression, got Number")]
    [InlineData("""{"pattern": "abc", "maxLength": 2}""", "no value satisfies")]
    [InlineData("""{"pattern": "^(ab)*$", "minLength": 2001, "maxLength": 2001}""", "no value satisfies")]
    [InlineData("""{"pattern": "a", "minLength": 3, "maxLength": 2}""", "no value satisfies")]
    [InlineData("""{"pattern": "^1", "format": "uuid", "maxLength": 35}""", "no value satisfies")]
    [InlineData("""{"pattern": "^[ab]*a[ab]{20}$", "maxLength": 30}""", "the schema is too large")]
    [InlineData("""{"type": "number", "multipleOf": -0.25}""", "'#/multipleOf': expected a whole number from 1")]
    [InlineData("""{"type": "number", "multipleOf": 0.1234567890123456}""", "'#/multipleOf': expected a whole number from 1")]
    [InlineData("""{"type": "number", "multipleOf": 0.25000000000000000000000000000000001}""", "'#/multipleOf': a number of at most 28 digits")]
    [InlineData("""{"type": "number", "multipleOf": 1e-999999999999}""", "'#/multipleOf': a number of at most 28 digits")]
    [InlineData("""{"type": "number", "multipleOf": 0.25, "minimum": 0.3, "maximum": 0.4}""", "no value satisfies")]
    [InlineData("""{"type": "integer", "multipleOf": 0}""", "'#/multipleOf': expected a whole number from 1")]
    [InlineData("""{"type": "integer", "multipleOf": 0.3, "minimum": 1, "maximum": 2}""", "no value satisfies")]
    [InlineData("""{"type": "integer", "minimum": 1e-40}""", "'#/minimum': a number of at most 28 digits")]
    [InlineData("""{"type": "number", "minimum": "2"}""", "'#/minimum': expected a number")]
    [InlineData("""{"type": "number", "maximum": 1234567890.1234567}""", "'#/maximum': a bound of at most 15 digits")]
    [InlineData("""{"type": "number", "minimum": 2, "maximum": 1}""", "no value satisfies")]
    [InlineData("""{"type": "integer", "minimum": 8, "maximum": 13, "multipleOf": 7}""", "no value satisfies")]
    [InlineData("""{"type": "word"}""", "got 'word'")]
    [InlineData("""{"$ref": "other.json"}""", "'other.json' is not supported")]
    [InlineData("""{"$ref": "#/$defs/x"}""", "names nothing")]
    [InlineData("""{"$ref": "#"}""", "refers to itself")]
    [InlineData("""{"anyOf": [{"type": "null"}], "type": "null"}""", "'anyOf' beside 'type'")]
    [InlineData("""{"oneOf": [{"type": "number"}, {"type": "integer"}]}""", "'oneOf' is supported where")]
    [InlineData("""{"allOf": [{}, {}]}""", "'allOf' of 2")]
    [InlineData("""{"type": "string", "format": "email"}""", "the format 'email'")]
    [InlineData("""{"type": "string", "maxLength": -1}""", "got -1")]
    [InlineData("""{"type": "object", "required": ["a"], "additionalProperties": false}""", "no value satisfies")]
    [InlineData("""{"$defs": {"t": {"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}}, "required": ["t"]}}, "$ref": "#/$defs/t"}""", "no value satisfies")]
    [InlineData("""[1]""", "expected a schema")]
    [InlineData("""{"properties": 3}""", "expected an object of schemas, got Number")]
    public void What_is_not_supported_is_named_with_its_place(string schema, string expected)
    {
        InferenceException error = Assert.Throws<InferenceException>(() => OutputConstraint.JsonSchema(Json(schema), s_tokenizer));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type": []}""")]
    [InlineData("""{"enum": {}}""")]
    [InlineData("""{"$ref": 3}""")]
    [InlineData("""{"required": "a"}""")]
    [InlineData("""{"properties": {"a": 3}}""")]
    [InlineData("""{"properties": {"\ud800": {}}}""")]
    [InlineData("""{"const": "\ud800"}""")]
    [InlineData("""{"type": "integer", "minimum": 1e400}""")]
    [InlineData("""{"type": "array", "minItems": 1e300}""")]
    [InlineData("""{"prefixItems": {}}""")]
    [InlineData("""null""")]
    public void Bad_schemas_are_refused(string schema) => Assert.Throws<InferenceException>(() => OutputConstraint.JsonSchema(Json(schema), s_tokenizer));

    [Theory]
    [InlineData("^\\u{1f600}\\uD83D\\uDE00$", "😀😀", true)]
    [InlineData("^[\\u{1f600}-\\u{1f60e}]$", "😎", true)]
    [InlineData("^[\\u{1f600}-\\u{1f60e}]$", "😏", false)]
    [InlineData("^.$", "😀", true)]
    [InlineData("^\\S\\s$", "ß\u3000", true)]
    [InlineData("^(?<first>a)(b)?$", "ab", true)]
    [InlineData("^[\\b\\t]$", "\t", true)]
    [InlineData("^.$", "\n", false)]
    public void Patterns_see_characters_and_not_units(string pattern, string text, bool expected)
    {
        OutputConstraint constraint = OutputConstraint.JsonSchema(JsonSerializer.SerializeToElement(new { type = "string", pattern }), s_tokenizer);
        Assert.Equal(expected, Accepts(constraint.Start, $"\"{text.Replace("\t", "\\t", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)}\""));
    }

    [Fact]
    public void Random_texts_of_random_patterns_match_and_others_are_told_apart()
    {
        // .NET's regular expressions are the other opinion; random patterns of what both understand alike.
        int accepted = 0, refused = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            Random random = new(seed);
            string pattern = RandomPattern(random, 3);
            pattern = (random.Next(2) == 0 ? "^" : "") + $"(?:{pattern})" + (random.Next(2) == 0 ? "$" : "");
            Regex regex = new(pattern.Replace("$", "\\z", StringComparison.Ordinal), RegexOptions.CultureInvariant, TimeSpan.FromSeconds(10));
            OutputConstraint constraint = OutputConstraint.JsonSchema(JsonSerializer.SerializeToElement(new { type = "string", pattern }), s_tokenizer);
            for (int round = 0; round < 20; round++)
            {
                string text = string.Concat(Enumerable.Range(0, random.Next(8)).Select(_ => "abcé0"[random.Next(5)]));
                bool expected = regex.IsMatch(text);
                Assert.True(expected == Accepts(constraint.Start, $"\"{text}\""), $"'{text}' under {pattern}: expected {expected}");
                (accepted, refused) = expected ? (accepted + 1, refused) : (accepted, refused + 1);
            }
        }

        output.WriteLine($"{accepted} texts match, {refused} do not");
        Assert.True(accepted > 300 && refused > 300, $"{accepted} and {refused}");

        static string RandomPattern(Random random, int depth) => random.Next(depth > 0 ? 9 : 5) switch
        {
            0 => "a",
            1 => "[a-c]",
            2 => ".",
            3 => "[^b0]",
            4 => "\\d",
            5 => $"(?:{RandomPattern(random, depth - 1)}|{RandomPattern(random, depth - 1)})",
            6 => $"(?:{RandomPattern(random, depth - 1)}){new[] { "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?" }[random.Next(8)]}",
            _ => RandomPattern(random, depth - 1) + RandomPattern(random, depth - 1),
        };
    }

    [Fact]
    public void Large_schemas_are_refused_or_work_and_never_end_the_process()
    {
        // References in a chain, an object of many properties, many texts, one very long text: from a thread with the usual stack.
        Refused("{\"$defs\": {" + string.Join(',', Enumerable.Range(0, 1000).Select(i => $"\"a{i}\": {{\"$ref\": \"#/$defs/a{i + 1}\"}}")) + ", \"a1000\": {\"type\": \"null\"}}, \"$ref\": \"#/$defs/a0\"}", mayWork: true);
        Refused("{\"properties\": {" + string.Join(',', Enumerable.Range(0, 1001).Select(i => $"\"p{i}\": true")) + "}}");
        Refused("{\"enum\": [" + string.Join(',', Enumerable.Range(0, 2000).Select(i => i)) + "]}", mayWork: true);
        Refused($"{{\"const\": \"{new string('x', 70_000)}\"}}");
        Refused($"{{\"pattern\": \"{new string('(', 30_000)}{new string(')', 30_000)}\"}}", mayWork: true);
        Refused($"{{\"pattern\": \"{string.Concat(Enumerable.Repeat("(a{1,9999}b?)", 1500))}{string.Concat(Enumerable.Repeat("{1,9999}", 1))}\"}}", mayWork: true);
        Assert.Throws<InferenceException>(() => OutputConstraint.JsonSchema(default, s_tokenizer));

        static void Refused(string schema, bool mayWork = false)
        {
            try
            {
                OutputConstraint.JsonSchema(Json(schema), s_tokenizer);
                Assert.True(mayWork, schema[..100]);
            }
            catch (InferenceException)
            {
            }
        }
    }

    [Fact]
    public void Free_text_comes_before_the_mark_and_marks_of_the_format_only_there()
    {
        ScriptedModel model = new(8, 8);
        int close = model.Tokenizer.TokenToId("</longcat_think>")!.Value;
        ConstraintState state = OutputConstraint.JsonSchema(Json("""{"type": "null"}"""), model.Tokenizer).After("</longcat_think>").Start;
        foreach (int id in model.Tokenizer.Encode("Any {text}, </longcat_thin", addSpecialTokens: false))
        {
            Assert.True(state.Allows(id) && !state.CanEnd);
            state = state.Advance(id);
        }

        Assert.True(state.Allows(close) && state.Allows(RandomCheckpoint.FirstByteToken + 0xFF));
        state = state.Advance(close);
        Assert.False(state.Allows(close));
        foreach (int id in model.Tokenizer.Encode("\n\nnull", addSpecialTokens: false))
        {
            Assert.False(state.IsComplete);
            Assert.True(state.Allows(id));
            state = state.Advance(id);
        }

        Assert.True(state.IsComplete && state.CanEnd);
    }

    [Fact]
    public void A_mask_holds_just_the_tokens_that_can_follow()
    {
        // The mask walks the vocabulary in order; the other opinion tries every token alone.
        ConstraintState state = OutputConstraint.JsonSchema(Json("""{"type": "object", "properties": {"description": {"type": "string"}, "n": {"type": "integer"}}}"""), s_tokenizer).Start;
        Random random = new(5);
        for (int step = 0; step < 40 && !state.IsComplete; step++)
        {
            List<int> allowed = [];
            for (int id = 0; id < s_tokenizer.VocabularySize; id++)
            {
                bool follows = s_tokenizer.TokenBytes(id).Length > 0 && !s_tokenizer.IsAdded(id) && state.Advance(id).IsPossible;
                Assert.True(follows == state.Allows(id), $"step {step}, token {id}");
                if (follows)
                {
                    allowed.Add(id);
                }
            }

            state = state.Advance(allowed[random.Next(allowed.Count)]);
        }
    }

    private static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;

    private static bool Accepts(ConstraintState state, string text)
    {
        foreach (int id in s_tokenizer.Encode(text, addSpecialTokens: false))
        {
            if (!state.Allows(id))
            {
                return false;
            }

            state = state.Advance(id);
        }

        return state.CanEnd;
    }

    /// <summary>A random text that the constraint allows; every other token is one that closes something, or texts would be endless. Null where it did not end.</summary>
    private static string? Complete(ConstraintState state, Random random, int steps)
    {
        List<int> ids = [];
        float[] flat = new float[s_tokenizer.VocabularySize], masked = new float[flat.Length];
        while (!state.IsComplete && !(state.CanEnd && random.Next(4) == 0))
        {
            state.Apply(flat, [], masked);
            int[] allowed = [.. Enumerable.Range(0, masked.Length).Where(id => masked[id] == 0)];
            int[] closing = [.. allowed.Where(id => s_tokenizer.TokenBytes(id)[^1] is (byte)'"' or (byte)'}' or (byte)']')];
            int[] from = closing.Length > 0 && random.Next(2) == 0 ? closing : allowed;
            int chosen = from[random.Next(from.Length)];
            ids.Add(chosen);
            state = state.Advance(chosen);
            if (ids.Count == steps)
            {
                return null;
            }
        }

        byte[] bytes = [.. ids.SelectMany(id => s_tokenizer.TokenBytes(id).ToArray())];
        return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
    }
}
