namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>Where a folder's template and special tokens come from.</summary>
public sealed class ChatTemplateLoadTests : IDisposable
{
    private static readonly ChatMessage[] s_chat = [new("user", "Q")];

    private readonly CheckpointFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void NoTemplateIsNull()
    {
        Assert.Null(ChatTemplate.Load(_folder.Path));
        _folder.Write("tokenizer_config.json", """{"bos_token": "<s>", "chat_template": null}""");
        Assert.Null(ChatTemplate.Load(_folder.Path));
    }

    [Fact]
    public void TheFileWinsOverTheConfig()
    {
        _folder.Write("chat_template.jinja", "{{ bos_token }}file {{ messages[0].content }}{{ eos_token }}\n");
        _folder.Write("tokenizer_config.json", """{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null, "chat_template": "config"}""");

        Assert.Equal("<s>file Q</s>", ChatTemplate.Load(_folder.Path)!.Render(s_chat));
    }

    [Fact]
    public void TokensOfTheConfigWinOverTheMap()
    {
        _folder.Write("special_tokens_map.json", """{"bos_token": "<old>", "unk_token": {"content": "<unk>"}, "additional_special_tokens": ["x"]}""");
        _folder.Write("tokenizer_config.json", """{"bos_token": "<s>", "add_bos_token": true, "chat_template": "{{ bos_token }}{{ unk_token }}{{ pad_token is defined }}"}""");

        Assert.Equal("<s><unk>False", ChatTemplate.Load(_folder.Path)!.Render(s_chat));
        Assert.Equal("<b><unk>False", ChatTemplate.Load(_folder.Path)!.Render(s_chat, new ChatTemplateOptions { BosToken = "<b>" }));
    }

    [Fact]
    public void ToolsChooseTheNamedTemplate()
    {
        _folder.Write("tokenizer_config.json", """{"bos_token": "<s>", "chat_template": [{"name": "tool_use", "template": "{{ bos_token }}{{ tools|length }} tools"}, {"name": "default", "template": "plain"}]}""");
        ChatTemplate template = ChatTemplate.Load(_folder.Path)!;

        Assert.Equal("plain", template.Render(s_chat));
        Assert.Equal("<s>0 tools", template.Render(s_chat, new ChatTemplateOptions { Tools = [] }));
    }

    [Theory]
    [InlineData("""{"chat_template": 5}""", "expected a text or a list of named templates")]
    [InlineData("""{"chat_template": [{"name": "rag", "template": "x"}]}""", "expected one named `default`, got rag")]
    [InlineData("""{"chat_template": [{"name": "default"}]}""", "`name` (each once) and `template`")]
    [InlineData("""{"chat_template": "x", "bos_token": 5}""", "bos_token: expected a text")]
    [InlineData("[1]", "expected an object, got Array")]
    [InlineData("{", "expected JSON")]
    [InlineData("""{"chat_template": "\ud800"}""", "no valid Unicode")]
    public void BrokenConfigsAreNamed(string config, string expected)
    {
        string path = _folder.Write("tokenizer_config.json", config);

        CheckpointException error = Assert.Throws<CheckpointException>(() => ChatTemplate.Load(_folder.Path));
        Assert.Equal(path, error.File);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SyntaxErrorsNameFileAndLine()
    {
        string path = _folder.Write("chat_template.jinja", "one\ntwo\n{% include 'x' %}\n");

        ChatTemplateException error = Assert.Throws<ChatTemplateException>(() => ChatTemplate.Load(_folder.Path));
        Assert.Equal((path, 3), (error.Template, error.Line));
        Assert.Contains("the statement `include` is not supported", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TemplatesMustBeUtf8()
    {
        _folder.Write("chat_template.jinja", [0x61, 0xFF]);

        Assert.Contains("expected UTF-8", Assert.Throws<CheckpointException>(() => ChatTemplate.Load(_folder.Path)).Message, StringComparison.Ordinal);
    }
}
