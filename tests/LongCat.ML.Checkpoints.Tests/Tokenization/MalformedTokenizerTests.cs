using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>Every failure is one exception that names the file, the key, what was expected and what came.</summary>
public sealed class MalformedTokenizerTests
{
    public static TheoryData<string, string, string> Replacements => new()
    {
        { "model", "5", "model: expected an object, got 5" },
        { "model", """{"type":"Unigram","vocab":[]}""", "model: `Unigram` is not supported; supported: BPE" },
        { "model", """{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}""", """model.vocab["b"]: id 0 is also that of "a" """ },
        { "model", """{"type":"BPE","vocab":{"a":-1},"merges":[]}""", """model.vocab["a"]: expected a token id""" },
        { "model", """{"type":"BPE","vocab":{"a":2000000000},"merges":[]}""", "expected a token id from 0 to" },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":["a b"]}""", """model.merges[0]: expected tokens of the vocabulary, got "b" """ },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":["a a"]}""", """got "aa", which is none""" },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":["aa"]}""", """model.merges[0]: expected two tokens, as "a b" or ["a", "b"], got "aa" """ },
        { "model", """{"type":"BPE","vocab":{"a":0}}""", "model.merges: expected a list, got nothing" },
        { "model", """{"type":"BPE","merges":[]}""", "model.vocab: expected an object, got nothing" },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":[],"byte_fallback":"yes"}""", """model.byte_fallback: expected true or false, got "yes" """ },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}""", "model.dropout: expected no dropout" },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}""", "model.end_of_word_suffix: expected nothing" },
        { "model", """{"type":"BPE","vocab":{"a":0},"merges":[["\ud800","a"]]}""", "no valid Unicode" },
        { "pre_tokenizer", "null", "decoder: `ByteLevel` is not supported; supported: Replace, ByteFallback" },
        { "pre_tokenizer", """{"type":"Digits"}""", "decoder: `ByteLevel` is not supported; supported: Replace, ByteFallback" },
        { "pre_tokenizer", """{"type":"Metaspace"}""", "pre_tokenizer.replacement: expected a string" },
        { "pre_tokenizer", """{"type":"Metaspace","replacement":"__"}""", "pre_tokenizer.replacement: expected one character" },
        { "pre_tokenizer", """{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}""", "prepend_scheme: expected always, first or never" },
        { "pre_tokenizer", """{"type":"Metaspace","replacement":"_","prepend_scheme":"always","add_prefix_space":false}""", "add_prefix_space: false contradicts prepend_scheme always" },
        { "pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Metaspace","replacement":"_"},{"type":"ByteLevel"}]}""", "ByteLevel after Metaspace is not supported" },
        { "pre_tokenizer", """{"type":"BertPreTokenizer"}""", "pre_tokenizer: `BertPreTokenizer` is not supported; supported: Split" },
        { "pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}""", "pre_tokenizer.pretokenizers[1]: a stage after ByteLevel" },
        { "pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{},"behavior":"Isolated"}]}""", "expected `Regex` or `String`" },
        { "pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":"a"},"behavior":"x"}]}""", "behavior: expected Isolated, Removed" },
        { "normalizer", """{"type":"NFKC"}""", "normalizer: `NFKC` is not supported" },
        { "decoder", """{"type":"Metaspace"}""", "decoder: `Metaspace` is not supported" },
        { "post_processor", """{"type":"Other"}""", "post_processor: `Other` is not supported" },
        { "post_processor", """{"type":"TemplateProcessing","single":[],"special_tokens":{}}""", "post_processor.single: expected a `Sequence` with id A" },
        { "post_processor", """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}}""", "expected a" },
        { "post_processor", """{"type":"BertProcessing","cls":[],"sep":[]}""", "post_processor.cls: expected a token and its id" },
        { "added_tokens", """[{"content":"x"}]""", "added_tokens[0].id: expected a token id" },
        { "added_tokens", """[{"id":1,"content":"x","special":"yes"}]""", """added_tokens[0].special: expected true or false, got "yes" """ },
    };

    [Theory]
    [MemberData(nameof(Replacements))]
    public void The_message_names_the_key(string key, string value, string expected)
    {
        JsonObject json = SampleTokenizer.Json();
        string text = json.ToJsonString().Replace($"\"{key}\":{json[key]?.ToJsonString() ?? "null"}", $"\"{key}\":{value}", StringComparison.Ordinal);
        CheckpointException error = Assert.Throws<CheckpointException>(() => SampleTokenizer.LoadText(text));
        Assert.Contains(expected.TrimEnd(), error.Message, StringComparison.Ordinal);
        Assert.Contains("tokenizer-", error.File, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "expected JSON")]
    [InlineData("{", "expected JSON")]
    [InlineData("[]", "the document: expected an object, got []")]
    [InlineData("{}", "model")]
    public void A_file_that_is_no_tokenizer_is_refused(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<CheckpointException>(() => SampleTokenizer.LoadText(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_missing_file_is_named()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"none-{Guid.NewGuid():N}");
        Assert.Contains(folder, Assert.Throws<CheckpointException>(() => HuggingFaceTokenizer.Load(folder)).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(folder);
        Assert.Contains("tokenizer.json", Assert.Throws<CheckpointException>(() => HuggingFaceTokenizer.Load(folder)).Message, StringComparison.Ordinal);
        Directory.Delete(folder);
    }

    [Fact]
    public void Damaged_files_load_or_are_refused_but_never_crash()
    {
        string whole = SampleTokenizer.Json("a b", "ab c").WithSplit(SampleTokenizer.Qwen2Pattern)
            .With("added_tokens", """[{"id":300,"content":"<t>","special":true}]""").With("normalizer", """{"type":"NFC"}""").ToJsonString();
        Random random = new(8);
        for (int round = 0; round < 150; round++)
        {
            char[] text = whole.ToCharArray();
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                text[random.Next(text.Length)] = "{}[]\",:0a\\n-"[random.Next(12)];
            }

            try
            {
                SampleTokenizer.LoadText(new string(text, 0, random.Next(3) == 0 ? random.Next(text.Length) : text.Length)).Encode("abc <t> é");
            }
            catch (CheckpointException)
            {
            }
        }
    }
}
