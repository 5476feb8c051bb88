"""Client of the face recognition service: pictures in, typed answers out.

``pipeline_http_client.py`` and ``pipeline_rpc_client.py`` are thin scripts over this package.
A program of your own needs three names::

    from client.answer import Options
    from client.http import HttpTransport
    from client.pictures import Picture

    with HttpTransport() as service:
        answer = service.predict(Picture.from_file("friends.jpg").base64(), Options())
    for face in answer.image.faces:
        print(face.box, face.score)
"""
