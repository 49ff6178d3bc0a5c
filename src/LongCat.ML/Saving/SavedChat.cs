using LongCat.ML.Inputs;
using LongCat.ML.Steps;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>A chat, as the mapping in front of a saved Generate step reads it.</summary>
internal sealed class SavedChat
{
    [ColumnName(SavedNames.Roles)]
    public VBuffer<ReadOnlyMemory<char>> Roles { get; set; }

    [ColumnName(SavedNames.Contents)]
    public VBuffer<ReadOnlyMemory<char>> Contents { get; set; }
}

/// <summary>A chat as one text.</summary>
internal sealed class SavedChatText
{
    [ColumnName(SavedNames.Chat)]
    public string Chat { get; set; } = "";
}

/// <summary>Makes the mapping when ML.NET loads a saved Generate step that completes chats.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedChatFactory : CustomMappingFactory<SavedChat, SavedChatText>
{
    public const string Contract = "LongCat.ML.Chat.1";

    public override Action<SavedChat, SavedChatText> GetMapping() => Map;

    private static void Map(SavedChat input, SavedChatText output) => output.Chat = ChatText.Text(TextVector.Strings(input.Roles), TextVector.Strings(input.Contents));
}
