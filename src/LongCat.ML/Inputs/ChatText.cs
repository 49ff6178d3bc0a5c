using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Saving;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Inputs;

/// <summary>A chat in two columns of equal length, who speaks and what is said, as one text.</summary>
internal sealed class ChatText(string roles, string contents) : TextSource
{
    public override IReadOnlyList<StepInput> Inputs { get; } = [new StepInput(contents, InputKind.Texts), new StepInput(roles, InputKind.Texts)];

    public override Func<string> Bind(DataViewRow row, DataViewSchema schema)
    {
        Func<string[]> readRoles = TextVector.Bind(row, schema[roles]);
        Func<string[]> readContents = TextVector.Bind(row, schema[contents]);
        return () => Text(readRoles(), readContents());
    }

    /// <summary>The text in which a chat passes through a step; empty for no message.</summary>
    public static string Text(string[] roles, string[] contents) =>
        roles.Length + contents.Length == 0 ? "" : JsonSerializer.Serialize(new Chat(roles, contents));

    /// <summary>The messages of such a text.</summary>
    /// <exception cref="ArgumentException">There are more roles than contents, or fewer.</exception>
    public static IReadOnlyList<ChatMessage> Parse(string text)
    {
        Chat chat = JsonSerializer.Deserialize<Chat>(text)!;
        return chat.Roles.Length == chat.Contents.Length
            ? [.. chat.Roles.Zip(chat.Contents, (role, content) => new ChatMessage(role, content))]
            : throw new ArgumentException($"the chat has {chat.Roles.Length} roles and {chat.Contents.Length} contents; expected one of each for every message.");
    }

    public override EstimatorChain<ITransformer> Save(EstimatorChain<ITransformer> chain, TransformsCatalog transforms, string savedName) => chain
        .Append<ITransformer>(transforms.CopyColumns(SavedNames.Roles, roles))
        .Append<ITransformer>(transforms.CopyColumns(SavedNames.Contents, contents))
        .Append<ITransformer>(transforms.CustomMapping(new SavedChatFactory().GetMapping(), SavedChatFactory.Contract))
        .Append<ITransformer>(transforms.CopyColumns(savedName, SavedNames.Chat))
        .Append<ITransformer>(transforms.DropColumns(SavedNames.Roles, SavedNames.Contents, SavedNames.Chat));

    private sealed record Chat(string[] Roles, string[] Contents);
}
